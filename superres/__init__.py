"""Image super-resolution with SRGAN, SRResNet and SRCNN in Keras."""

import contextlib
import os

SCALE = 4


@contextlib.contextmanager
def quiet():
    """Drop what is written to stderr, by libraries in C too, while the block runs."""
    with open(os.devnull, "wb") as null:
        try:
            stderr = os.dup(2)
        except OSError:  # closed
            yield
            return
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def one_line(error: Exception) -> str:
    """The message of an exception in one line, or the name of its type."""
    return " ".join(str(error).split()) or type(error).__name__
