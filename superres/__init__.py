"""Image super-resolution with SRGAN, SRResNet and SRCNN in Keras."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    os.fstat(2)
except OSError:  # stderr is closed: the next file opened would take its place, and TensorFlow's messages
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

# TensorFlow's first lines about missing GPUs heed no log level, and would head every notebook and command.
_stderr, _null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_null, 2)
try:
    import keras  # noqa: F401
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_null)
