"""The C library's allocator, told to keep what a step frees for the next."""

import ctypes
import sys

# Of glibc's malloc.h: no memory of its own for large arrays, none given back,
# the heap grows by so much, one heap for all threads (others are small).
_SETTINGS = {
    -4: 0,  # M_MMAP_MAX
    -1: -1,  # M_TRIM_THRESHOLD: never, also above the 2 GiB of an int
    -2: 64 << 20,  # M_TOP_PAD
    -8: 1,  # M_ARENA_MAX
}


def keep_freed_memory() -> bool:
    """Keeps freed memory in this process, where glibc would give it back.

    A step on a CPU allocates and frees the same arrays as the one before. By
    default glibc returns large ones to the system, which clears each of their
    pages anew at the next step: 36 % of the processors' time when two runs of
    FiBiNET shared two cores. The price: the process keeps its largest size,
    which is larger, too, where arrays have gigabytes and do not fill each
    other's places. Call it before the first step.

    Returns:
        Whether the C library took it; False where it is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(name, value) for name, value in _SETTINGS.items()])
