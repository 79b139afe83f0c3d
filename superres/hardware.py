"""What the processor can do."""

import functools
import re
from pathlib import Path


@functools.cache
def has_native_bfloat16() -> bool:
    """Whether what TensorFlow computes on has bfloat16 in hardware; False where the system does not tell.

    That is an NVIDIA GPU of compute capability 8.0 (Ampere) or later, or without a GPU a CPU with AVX512_BF16 or
    AMX-BF16.
    """
    try:
        from superres.backend import tf  # here, since it takes seconds
    except ImportError:  # training runs on torch as well
        gpus = []
    else:
        gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(gpu.get("compute_capability", (0, 0)) >= (8, 0) for gpu in details)
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None
