"""Regions: files in `/dev/shm` that gateway and server both map.

A region is this process's own: the name says whose, and a lock on the file, which ends with the process however that
ends, says whether its owner still lives.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "maskgate-"
"""Begins the name of every region."""

FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is, not a place for temporary files
"""Where regions lie."""


class Region:
    """One file of shared memory, mapped and locked by this process.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        """Create the file, its memory taken at once: running short later would be a SIGBUS.

        Raises:
            OSError: there is no such memory, or not enough of it.
        """
        self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        self.size = size
        self.session = -1
        self._path = FOLDER / self.name
        self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "another gateway swept the region before it was locked")
            os.posix_fallocate(self._file, 0, size)
            self._map = mmap.mmap(self._file, size)
        except OSError:
            self.unlink()
            os.close(self._file)
            raise

    @property
    def key(self) -> str:
        """What the server opens."""
        return f"/{self.name}"

    def array(self, offset: int, like: NDArray[Any]) -> NDArray[Any]:
        """Return the part at `offset` as an array of the shape and dtype of `like`."""
        return np.frombuffer(self._map, like.dtype, like.size, offset).reshape(like.shape)

    def unlink(self) -> None:
        """Take the name away; the memory lives on until the last process that maps it lets go."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the memory, and of the lock."""
        self.unlink()
        with suppress(BufferError):  # an exception may still hold an array of it, and lets go of it with that
            self._map.close()
        os.close(self._file)


def sweep_dead() -> None:
    """Remove the regions whose process is gone; their locks went with it."""
    for path in FOLDER.glob(f"{PREFIX}*"):
        with suppress(OSError):
            file = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(file)
