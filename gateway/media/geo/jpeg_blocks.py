"""Strips and tiles in JPEG, decoded by OpenCV, whose library takes a quarter of the time that GDAL's does.

Only what is plainly a picture of the size that the file declares is decoded here; all else is left to GDAL, which says
what is wrong with it or reads it nevertheless. What was decoded last is kept for the windows that follow, as GDAL
keeps in its own cache what it decodes.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.geo.tiff_header import Blocks, JpegCoding, Octets

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

UInt8 = npt.NDArray[np.uint8]

_START, _END = b"\xff\xd8", b"\xff\xd9"
# Segments that may stand before a frame: quantisation, Huffman codes, restart interval, comment.
_TABLES = frozenset({0xDB, 0xC4, 0xDD, 0xFE})
# Baseline, extended and progressive frames with Huffman codes.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_FRAME_HEAD = 6
# Adobe's segment, which tells a decoder whether it finds RGB or YCbCr; the frame itself does not.
_COLOURS = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00%c"
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_BITS, _BANDS = 8, 3
# Of all files together. Of blocks that windows have come into: a row of tiles of 512² of either image in a scene 20,000
# wide. Of those whose last row was asked for: a few as they are, since columns beside may follow, and of the others the
# last rows, which windows below are warped from too, however they are turned to the file by some degrees.
_BEGUN_BYTES, _PASSED_BYTES, _END_BYTES = 64 * 1024 * 1024, 4 * 1024 * 1024, 12 * 1024 * 1024
_END_ROWS = 64

_Key = tuple[int, int]
_Part = tuple[int, UInt8]


class _Queue:
    """Blocks, or rows of them from some row on, up to so many bytes; what was added longest ago goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.parts: OrderedDict[_Key, _Part] = OrderedDict()
        self.bytes = 0

    def add(self, key: _Key, part: _Part) -> list[tuple[_Key, UInt8]]:
        """Add rows of a block, and return what went in their place."""
        self.parts[key] = part
        self.bytes += part[1].nbytes
        went = []
        while self.bytes > self._most:
            oldest, (_, rows) = self.parts.popitem(last=False)
            self.bytes -= rows.nbytes
            went.append((oldest, rows))
        return went

    def drop(self, key: _Key) -> None:
        """Drop a block where it is here."""
        if key in self.parts:
            self.bytes -= self.parts.pop(key)[1].nbytes


class _Kept:
    """Decoded blocks by file and number. For several threads."""

    def __init__(self, begun: int, passed: int, ends: int) -> None:
        self._begun, self._passed, self._ends = self._queues = _Queue(begun), _Queue(passed), _Queue(ends)
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """What is kept."""
        return sum(queue.bytes for queue in self._queues)

    def get(self, file: int, number: int) -> _Part | None:
        """Return a block from some row on, and that row before it."""
        with self._lock:
            found = (queue.parts.get((file, number)) for queue in self._queues)
            return next((part for part in found if part is not None), None)

    def add(self, file: int, number: int, block: UInt8, *, passed: bool) -> None:
        """Keep a block; `passed` says that its last row was asked for."""
        with self._lock:
            self._drop((file, number))
            if not passed:
                self._begun.add((file, number), (0, block))
                return
            for key, rows in self._passed.add((file, number), (0, block)):
                first = max(0, len(rows) - _END_ROWS)
                # Copied, so that the others are let go.
                self._ends.add(key, (first, rows[first:].copy()))

    def forget(self, file: int) -> None:
        """Drop what there is of a file."""
        with self._lock:
            for key in [key for queue in self._queues for key in queue.parts if key[0] == file]:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        for queue in self._queues:
            queue.drop(key)


_KEPT = _Kept(_BEGUN_BYTES, _PASSED_BYTES, _END_BYTES)
_FILES = count()


class JpegBlocks:
    """The blocks of an image in JPEG. For several threads; `close` forgets what was decoded.

    Args:
        data: the file, whose bytes under a window are here before that is read.
        blocks: where they lie.
        coding: what they have in common.
        size: (width, height) of the image, in pixels: the last strip may be shorter than the others.
    """

    def __init__(self, data: Octets, blocks: Blocks, coding: JpegCoding, size: tuple[int, int]) -> None:
        """Decode nothing yet."""
        self._file = next(_FILES)
        self._data, self._blocks = data, blocks
        self._width, self._height = size
        self._plain = not coding.tables or (_ended(coding.tables) and _frame(coding.tables[:-2]) == b"")
        self._head = _START + _COLOURS % int(coding.ycc) + coding.tables[2:-2]

    def read(self, rows: slice, columns: slice, out: UInt8) -> bool:
        """Fill a window, uint8 (rows, columns, 3), RGB; return False where GDAL is to do it."""
        (wide, high), across = self._blocks.side, self._blocks.across
        for number in self._blocks.under(rows, columns).tolist():
            top, left = number // across * high, number % across * wide
            own_rows, window_rows = _common(top, high, rows)
            own_columns, window_columns = _common(left, wide, columns)
            first, block = self._block(number, own_rows.start)
            if block is None:
                return False
            out[window_rows, window_columns] = block[own_rows.start - first : own_rows.stop - first, own_columns]
            bottom, right = min(top + high, self._height), min(left + wide, self._width)
            passed = rows.stop >= bottom and columns.stop >= right
            # Who goes on below the last row of a block has no more use for it.
            done = passed and rows.stop == bottom and rows.start <= top and columns.start <= left
            if first == 0 and not done:
                _KEPT.add(self._file, number, block, passed=passed)
        return True

    def close(self) -> None:
        """Forget what was decoded."""
        _KEPT.forget(self._file)

    def _block(self, number: int, row: int) -> tuple[int, UInt8 | None]:
        """Return a block from some row on, `row` at the latest, and that; None: GDAL is to read it.

        Returns:
            The row, and uint8 (rows, wide, 3), down to the end of the image where that is above the block's.
        """
        kept = _KEPT.get(self._file, number)
        if kept is not None and kept[0] <= row:
            return kept
        start, size = int(self._blocks.starts[number]), int(self._blocks.sizes[number])
        data = bytes(self._data[start : start + size])
        wide, high = self._blocks.side
        low = self._height - number // self._blocks.across * high
        sizes = {(high, wide), (min(high, low), wide)}
        if not (self._plain and _ended(data) and _declared(_frame(data)) in sizes):
            return 0, None
        block = cv2.imdecode(np.frombuffer(self._head + data[2:], np.uint8), _FLAGS)
        return 0, None if block is None else np.asarray(block, np.uint8)


class JpegDataset:
    """A dataset of GDAL's whose windows in colour are decoded here; else as GDAL's own."""

    def __init__(self, dataset: DatasetReader, blocks: JpegBlocks) -> None:
        """Take what GDAL opened."""
        self._dataset, self._blocks = dataset, blocks

    def __getattr__(self, name: str) -> Any:
        """Return what the dataset has by a name."""
        return getattr(self._dataset, name)

    def read(self, indexes: Any = None, *, window: Window, out: npt.NDArray[Any] | None = None) -> Any:
        """Return the samples of a window, uint8 (bands, rows, columns), or (rows, columns) of a single band."""
        if indexes == (1, 2, 3) and (out is None or out.dtype == np.uint8):
            planes = np.empty((int(window.height), int(window.width), _BANDS), np.uint8).transpose(2, 0, 1)
            planes = planes if out is None else out
            rows, columns = window.toslices()
            if self._blocks.read(rows, columns, planes.transpose(1, 2, 0)):
                return planes
        return self._dataset.read(indexes, window=window, out=out)


def _common(start: int, length: int, window: slice) -> tuple[slice, slice]:
    """Return what a block and a window share along a side, counted in the block and in the window."""
    first, last = max(start, window.start), min(start + length, window.stop)
    return slice(first - start, last - start), slice(first - window.start, last - window.start)


def _ended(data: bytes) -> bool:
    """Return whether a stream begins and ends as one of JPEG."""
    return data.startswith(_START) and data.endswith(_END)


def _frame(data: bytes) -> bytes | None:
    """Return the head of the frame that follows tables; empty where nothing follows, None where something else does."""
    at = len(_START)
    while at < len(data):
        length = int.from_bytes(data[at + 2 : at + 4])
        if data[at] != 0xFF or length < 2 or at + 2 + length > len(data):
            return None
        if data[at + 1] in _FRAMES:
            return data[at + 4 : at + 2 + length]
        if data[at + 1] not in _TABLES:
            return None
        at += 2 + length
    return b""


def _declared(frame: bytes | None) -> tuple[int, int] | None:
    """Return (height, width) of a frame of three bands of 8 bits; None of any other."""
    if not frame or len(frame) < _FRAME_HEAD or frame[0] != _BITS or frame[5] != _BANDS:
        return None
    return int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
