"""The memory allocator while latencies are measured: it keeps what it was given.

glibc's allocator gives large blocks back to the system as soon as they are free, and asks for them again in the next
call, which then pays for every page anew. Where it draws the line depends on what the process happened to run before:
the same design may take 1.4 times as long in one process as in another (experiments/latency_predictor). Engines
with an arena of their own (ONNX Runtime) and the allocators that servers are run with (jemalloc, tcmalloc) keep memory;
so latencies are measured with an allocator that does. A plain process gets the same by the environment variables
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_TOP_PAD_=67108864.
"""

from __future__ import annotations

import ctypes
from functools import cache

# Names and numbers of glibc's malloc.h.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
NEVER = 2**31 - 1
PAD = 64 * 1024**2  # bytes asked for at a time


@cache
def keep_memory() -> bool:
    """From here on this process gives no memory back; False where the allocator cannot be told so (no glibc)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return all([mallopt(MMAP_MAX, 0), mallopt(TRIM_THRESHOLD, NEVER), mallopt(TOP_PAD, PAD)])
