"""Keeps memory that a step frees in the process, for the next step."""

import ctypes
import sys

# Options of mallopt, from glibc's malloc.h: no separate mapping for large
# arrays, no memory returned to the system, the heap grows by M_TOP_PAD bytes,
# and all threads share one heap (further heaps are limited in size).
_SETTINGS = {
    -4: 0,  # M_MMAP_MAX
    -1: -1,  # M_TRIM_THRESHOLD: never; an int could not exceed 2 GiB
    -2: 64 << 20,  # M_TOP_PAD
    -8: 1,  # M_ARENA_MAX
}


def keep_freed_memory() -> bool:
    """Keeps freed memory in this process instead of returning it.

    A step on a CPU allocates and frees the same arrays as the previous one. By
    default, glibc returns large arrays to the system, which then zeroes each
    of their pages at the next step: this took 36 % of the CPU time when two
    runs of FiBiNET shared two cores. The drawback: the process stays at its
    peak size, and the peak is higher if arrays of several gigabytes do not fit
    into each other's gaps. Call this function before the first step.

    Returns:
        True if the C library accepted the settings; False without glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(name, value) for name, value in _SETTINGS.items()])
