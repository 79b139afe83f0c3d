"""Keras on TensorFlow, imported without TensorFlow's first lines about missing GPUs: they heed no log level.

Training runs on Keras's other backends as well, where ``tf`` may be missing.
"""

import contextlib
import os

from superres import quiet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with quiet():
    import keras

    with contextlib.suppress(ImportError):
        import tensorflow as tf

__all__ = ["keras", "tf"]
