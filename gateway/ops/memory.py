"""The allocator of the C library, told what rows of large scenes are."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
# The arrays of which a few are held a row of tiles are larger. Smaller ones are soon wanted again, and to map them anew
# each time takes time.
_BYTES = 16 * 1024 * 1024


def give_back_large_blocks() -> None:
    """Let glibc give blocks of 16 MiB and more back to the system as soon as they are free.

    It would learn to keep those of up to 32 MiB in arenas, where they leave holes: 200 MB in a scene 20,000 wide. Other
    C libraries are left as they are.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _BYTES)
