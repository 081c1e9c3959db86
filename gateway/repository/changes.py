"""Telling cheaply what has changed on disk: by size and times, not by content."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.repository.store import file_digest

Stamp = tuple[int, int, int, int]
"""Inode, size, time of last modification and of last status change, both in nanoseconds.

The last one also moves for a copy that keeps the times of its source.
"""


AT_REST_NANOSECONDS = 2_000_000_000
"""File systems keep times in steps of up to two seconds; a younger file may change and keep its stamp."""


class Digests:
    """Digests of files; one that was at rest and whose stamp has not changed is not read again.

    For one thread at a time.
    """

    def __init__(self) -> None:
        """Know no file yet."""
        self._known: dict[Path, tuple[Stamp, str]] = {}

    def of(self, path: Path) -> str:
        """Return the digest of a file's bytes, ``sha256:<hex>``.

        Raises:
            OSError: it cannot be read.
        """
        stamp = _stamp(path.stat())
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        # Looked at before it is read: where it is written to meanwhile, the next call reads it again.
        at_rest = time.time_ns() - max(stamp[2:]) >= AT_REST_NANOSECONDS
        digest = file_digest(path)
        if at_rest:
            self._known[path] = stamp, digest
        return digest


def listing(root: Path) -> dict[str, Stamp]:
    """Return the stamp of every file and folder that `scan` of `root` would look at.

    Raises:
        OSError: `root` is not a folder that can be listed.
    """
    return {path: stamp for model in _visible(root) for path, stamp in _walk(model, depth=2)}


def _visible(root: Path) -> list[os.DirEntry[str]]:
    with os.scandir(root) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _walk(entry: os.DirEntry[str], depth: int) -> Iterator[tuple[str, Stamp]]:
    """Yield the stamps of an entry and of what lies up to `depth` folders below it; what vanishes is left out."""
    try:
        yield entry.path, _stamp(os.stat(entry.path))
        children = _visible(Path(entry.path)) if depth and entry.is_dir() else []
    except OSError:
        return
    for child in children:
        yield from _walk(child, depth - 1)


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
