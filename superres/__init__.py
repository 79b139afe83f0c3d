"""Image super-resolution with SRGAN, SRResNet and SRCNN in Keras."""

import contextlib
import os
import sys

SCALE = 4

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    os.fstat(2)
except OSError:  # stderr is closed: the next file opened would take its place, and the messages meant for it
    sys.stderr = open(os.dup2(os.open(os.devnull, os.O_WRONLY), 2), "w")  # noqa: SIM115


@contextlib.contextmanager
def quiet():
    """Drop what is written to stderr, by libraries in C too, while the block runs."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
