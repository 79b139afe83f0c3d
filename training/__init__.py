"""Training the networks, and measuring them."""

import contextlib


@contextlib.contextmanager
def errors_in_one_line(parser):
    """End a command line with an error's message, exit code 2, where its arguments or files are at fault."""
    try:
        yield
    except (OSError, ValueError, ModuleNotFoundError, MemoryError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
