"""What the command line prints: failures, warnings and remarks in a line each, and the paths of results."""

import contextlib
import os
import sys
import warnings

from tqdm import tqdm

from superres import one_line

# What may go wrong with a file; anything else is a fault of the program.
FILE_ERRORS = (ValueError, OSError, MemoryError)


def as_lines(failures):
    return "".join(f"srgan.py: {failure}\n" for failure in failures)


def describe(error, *paths):
    """The message of an error in one line, which begins with one of the paths."""
    message = one_line(error)
    if isinstance(error, OSError) and message.startswith("[Errno"):
        message = error.strerror
    return message if message.startswith(tuple(map(str, paths))) else f"{paths[0]}: {message}"


def write_line(line):
    """A line on stderr, above the progress bar."""
    tqdm.write(f"srgan.py: {line}", file=sys.stderr)


@contextlib.contextmanager
def warnings_as_lines():
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        write_line(f"warning: {one_line(warning.message)}")


def print_path(path):
    """The path of a result on stdout. Where that is closed or full, the result is there all the same."""
    try:
        tqdm.write(str(path))
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            write_line(f"warning: cannot print the names of results: {error.strerror}")
