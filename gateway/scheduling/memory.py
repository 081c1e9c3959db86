"""What becomes of memory that the process has freed, and what it may have at most."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys
from pathlib import Path

# malloc.h of glibc. What is allocated in pieces above the second is given back as soon as it is freed; it begins with
# 128 KiB. The few arrays that a row of tiles of a large scene takes are larger than what is kept here: they would leave
# holes, 200 MB in a scene 20,000 wide.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LEAST_PIECE, _LARGEST_PIECE = 128 * 1024, 16 * 1024 * 1024

_SAID_OTHERWISE = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")

_CGROUPS = Path("/sys/fs/cgroup")
# Of a group's limit: what is not the process's own data, code and caches of files above all, counts there too.
_SHARE = 15 / 16
# What control groups say where there is no limit, in version 1: the largest number of pages.
_BOUNDLESS = 1 << 60


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


def give_back_freed() -> None:
    """Give what this process has freed back to the system, where the C library can be told to: glibc can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def bound_memory(amount: int | None, processes: int = 1) -> int | None:
    """Have this process fail to allocate more than its share of `amount` bytes, and return what that is.

    A decoder that is deceived by a file then meets an error, which becomes a 503, and not the system's killer, which
    takes all other requests with it. Linux alone counts so; elsewhere nothing is bound.

    Args:
        amount: bytes; 0: no bound; None: what the process's control group allows, less a sixteenth, if it has a limit.
        processes: among which they are shared out.
    """
    if amount is None:
        amount = round(_SHARE * (_group_limit() or 0))
    if not amount or sys.platform != "linux":
        return None
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    amount //= processes
    bound = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    return bound


def memory_left() -> int | None:
    """Return how many bytes this process may yet allocate; None: as many as there are."""
    if sys.platform != "linux":
        return None
    bound, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if bound == resource.RLIM_INFINITY:
        return None
    [taken] = re.findall(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return max(0, bound - 1024 * int(taken))


def _group_limit() -> int | None:
    """Return the least limit of the process's control group and those above it, in bytes; None: it has none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, file = (_CGROUPS, "memory.max") if not controllers else (_CGROUPS / "memory", "memory.limit_in_bytes")
        group = root / path.lstrip("/")
        # In a container the path may be one of outside; then its own group is the root.
        limits += [_read(folder / file) for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return min((limit for limit in limits if limit is not None), default=None)


def _read(file: Path) -> int | None:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None
    return limit if limit < _BOUNDLESS else None
