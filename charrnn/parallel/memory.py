"""Keep freed memory in the process, so that the arrays of the next training step need no new pages."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of <malloc.h>
LARGEST, KEPT = 32 << 20, 1 << 30  # bytes: the largest array that is kept (glibc allows no more), and all that is kept


def keep_freed_memory() -> bool:
    """Let glibc keep freed arrays for later ones; return whether it does, which other C libraries cannot.

    By default it returns large arrays to the system, and the next step waits for as many empty pages: up to two fifths
    of a small step's time. What was freed before, while the text was read, goes back first: it would stay for good.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    set_option = getattr(library, "mallopt", lambda option, value: 0)
    getattr(library, "malloc_trim", lambda pad: 0)(0)
    return bool(set_option(TRIM_THRESHOLD, KEPT) and set_option(MMAP_THRESHOLD, LARGEST))
