"""What becomes of memory that the process has freed."""

from __future__ import annotations

import ctypes
import os

# malloc.h of glibc. What is allocated in pieces above the second is given back as soon as it is freed; it begins with
# 128 KiB. The few arrays that a row of tiles of a large scene takes are larger than what is kept here: they would leave
# holes, 200 MB in a scene 20,000 wide.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LEAST_PIECE, _LARGEST_PIECE = 128 * 1024, 16 * 1024 * 1024

_SAID_OTHERWISE = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed(amount: int) -> bool:
    """Have this process keep up to `amount` bytes a thread of what it frees, where > 0; return whether it will.

    By itself glibc gives the buffers of each picture back to the system and asks for as many new pages with the next:
    of a 1024² pair 5,700, and touching them for the first time takes a fifth of all that the request costs. Other C
    libraries are left as they are, and so is glibc where its own variables in the environment say something else.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if not amount or mallopt is None or any(name in os.environ for name in _SAID_OTHERWISE):
        return False
    kept = min(amount, 2**31 - 1)
    piece = max(_LEAST_PIECE, min(kept, _LARGEST_PIECE))
    return bool(mallopt(_MMAP_THRESHOLD, piece) and mallopt(_TRIM_THRESHOLD, kept))
