"""What the processor can do."""

import functools
import re
from pathlib import Path


@functools.cache
def has_native_bfloat16() -> bool:
    """Whether the CPU computes bfloat16 in hardware (AVX512_BF16 or AMX-BF16); False where Linux does not tell."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None
