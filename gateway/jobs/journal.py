"""What models have answered about one item of a job, in a file that is added to; it survives the process.

A record is the key of a question, the length of its answer, and the answer, deflated: its checksum is in that. Whatever
a process that was killed left behind the last whole record is cut off.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from struct import Struct
from threading import Lock

import numpy as np
from isal import isal_zlib

from gateway.engines.base import Tensors

AFTER_SECONDS = 10.0
"""How long an item is worked on before answers about it are written down; shorter ones are begun again as fast."""

_HEAD = Struct(">32sQ")
_LEVEL = 0


class Journal:
    """The answers about one item. Every method blocks; several threads may call them. See `Memory`.

    Args:
        path: of the file, made where it is not there.
        most: bytes that it may have.
    """

    def __init__(self, path: Path, most: int) -> None:
        """Look what is there.

        Raises:
            OSError: the file cannot be had.
        """
        self._path, self._most, self._lock = path, most, Lock()
        self._since = time.monotonic()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._places: dict[bytes, tuple[int, int]] = {}
        self._end, size = 0, os.fstat(self._file).st_size
        while self._end + _HEAD.size <= size:
            key, length = _HEAD.unpack(os.pread(self._file, _HEAD.size, self._end))
            if self._end + _HEAD.size + length > size:
                break
            self._places[key] = self._end + _HEAD.size, length
            self._end += _HEAD.size + length
        os.ftruncate(self._file, self._end)

    @property
    def open(self) -> bool:
        """Whether there is something in it, or the item has been worked on for long."""
        return bool(self._places) or time.monotonic() - self._since >= AFTER_SECONDS

    def recall(self, key: bytes) -> Tensors | None:
        """Return the answer that was kept by a key, if there is one, and whole."""
        place = self._places.get(key)
        if place is None:
            return None
        try:
            said, _, values = isal_zlib.decompress(os.pread(self._file, place[1], place[0])).partition(b"\n")
        except isal_zlib.IsalError:  # type: ignore[misc]  # a class, whatever its stub says
            return None
        answer, at = {}, 0
        for name, dtype, shape in json.loads(said):
            tensor = np.ndarray(shape, dtype, values, at)
            answer[name] = tensor
            at += tensor.nbytes
        return answer

    def keep(self, key: bytes, answer: Tensors) -> None:
        """Write an answer down; where neither file nor disk has room for it, let it be."""
        said = json.dumps([[name, tensor.dtype.str, tensor.shape] for name, tensor in answer.items()]).encode()
        values = [np.ascontiguousarray(tensor).tobytes() for tensor in answer.values()]
        content = isal_zlib.compress(b"".join([said, b"\n", *values]), _LEVEL)
        record = _HEAD.pack(key, len(content)) + content
        with self._lock:
            if self._end + len(record) > self._most:
                return
            try:
                os.pwrite(self._file, record, self._end)
            except OSError:
                # Written in part, it is cut off next time, or written over.
                return
            self._places[key] = self._end + _HEAD.size, len(content)
            self._end += len(record)

    def close(self) -> None:
        """Leave it to the next process."""
        os.close(self._file)
