"""Keras on TensorFlow, imported without TensorFlow's first lines about missing GPUs: they heed no log level.

Training runs on Keras's other backends as well, where ``tf`` may be missing.
"""

import contextlib

from superres import quiet

with quiet():
    import keras

    with contextlib.suppress(ImportError):
        import tensorflow as tf

__all__ = ["keras", "tf"]
