"""Keras on TensorFlow, imported without TensorFlow's first lines about missing GPUs: they heed no log level."""

from superres import quiet

with quiet():
    import keras
    import tensorflow as tf

__all__ = ["keras", "tf"]
