"""Keras on TensorFlow, imported without TensorFlow's first lines about missing GPUs, and what the processor can do.

Training runs on Keras's other backends as well, where ``tf`` may be missing: None.
"""

import functools
import os
import re
from pathlib import Path

from superres import quiet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with quiet():  # the first lines heed no log level
    try:
        import keras
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Keras cannot be imported: {error}; expected TensorFlow as its backend (KERAS_BACKEND, or keras.json)"
        ) from error
    try:
        import tensorflow as tf
    except ImportError:
        tf = None

__all__ = ["has_native_bfloat16", "keras", "tf"]


@functools.cache
def has_native_bfloat16() -> bool:
    """Whether what TensorFlow computes on has bfloat16 in hardware; False where the system does not tell.

    That is an NVIDIA GPU of compute capability 8.0 (Ampere) or later, or without a GPU a CPU with AVX512_BF16 or
    AMX-BF16.
    """
    gpus = tf.config.list_physical_devices("GPU") if tf else []
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(gpu.get("compute_capability", (0, 0)) >= (8, 0) for gpu in details)
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()  # oneDNN's limit on what it uses
    if not re.search("DEFAULT|ALL|BF16|FP16|AMX", allowed):
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None
