"""Training the networks, and measuring them."""

import argparse
import contextlib
import shlex


class CommandLine(argparse.ArgumentParser):
    """Reads arguments, and ``@FILE`` as more of them, any number in a line, with comments. Errors are one sentence."""

    def __init__(self, module, description):
        super().__init__(
            prog=f"python -m {module}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            fromfile_prefix_chars="@",
        )

    def convert_arg_line_to_args(self, line):
        return shlex.split(line, comments=True)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


@contextlib.contextmanager
def errors_in_one_line(parser):
    """End a command line with an error's message, exit code 2, where its arguments or files are at fault."""
    try:
        yield
    except (OSError, ValueError, ModuleNotFoundError, MemoryError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
