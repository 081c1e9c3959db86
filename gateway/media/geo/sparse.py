"""TIFF files of which only those bytes are here that are needed: the others stay where the file lies.

What is here lies in memory, under a path that GDAL opens like any file. GDAL itself fetches nothing, and has no way to
say what it is about to read; so the blocks under a window are fetched before GDAL is asked for it. What was not fetched
would read as zeros, which is why a dataset of such a file is handed out behind `SparseDataset` alone, or with all of
the file fetched, or for a part of it to be made of it that was.

Bytes are fetched by whole pages, each once. A page is larger than any buffer of the C library, and a multiple of it:
none ever holds zeros that were read beside what was fetched before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from gateway.errors import InputUnreachable
from gateway.media.geo.tiff_header import Blocks
from gateway.media.pictures.headers import check_scans

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

Int64 = npt.NDArray[np.int64]

_PAGE = 16 * 1024
# Pages asked for at once; and for directories, which lie side by side, how many follow that is asked for.
_MOST_PAGES, _AHEAD = 256, 4
# Bytes that are waited for together, and are there twice meanwhile.
_TOGETHER = 32 * 1024 * 1024


class RangedFile(Protocol):
    """A file elsewhere; its methods are called from worker threads."""

    @property
    def length(self) -> int:
        """How many bytes it has."""

    @property
    def head(self) -> bytes:
        """The first of them."""

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return ranges of it, each from a first byte to before another.

        Raises:
            MaskgateError: they are not to be had.
        """


class SparseFile:
    """A file elsewhere, and those of its bytes that were needed so far. For several threads.

    Args:
        source: the file.

    Attributes:
        path: by which GDAL opens what is here.
    """

    def __init__(self, source: RangedFile) -> None:
        """Take its head.

        Raises:
            InputUnreachable: the system has no files in memory.
        """
        if not hasattr(os, "memfd_create"):
            raise InputUnreachable("Files are read by ranges where the gateway runs on Linux.")
        self._source = source
        self._pages = np.zeros(-(-source.length // _PAGE), np.bool_)
        self._lock = Lock()
        self._descriptor = os.memfd_create("sparse")
        os.ftruncate(self._descriptor, source.length)
        os.pwrite(self._descriptor, source.head, 0)
        self._pages[: len(self._pages) if len(source.head) == source.length else len(source.head) // _PAGE] = True
        self.path = f"/proc/self/fd/{self._descriptor}"

    def __len__(self) -> int:
        """Return how many bytes the whole file has."""
        return self._source.length

    def __getitem__(self, part: slice, /) -> bytes:
        """Return some of its bytes, fetched where they are not here.

        Raises:
            MaskgateError: as `RangedFile.read`.
        """
        start, stop, _ = part.indices(len(self))
        if not self._pages[start // _PAGE : -(-stop // _PAGE)].all():
            self.need(np.array([start]), np.array([stop + _AHEAD * _PAGE]))
        return os.pread(self._descriptor, stop - start, start)

    def need(self, starts: Int64, stops: Int64) -> None:
        """Fetch what is not here of ranges of bytes, int64 (n,) each; what lies beyond the end is none.

        Raises:
            MaskgateError: as `RangedFile.read`.
        """
        with self._lock:
            wanted = np.zeros(len(self._pages) + 1, np.int64)
            np.add.at(wanted, np.minimum(starts // _PAGE, len(self._pages)), 1)
            np.add.at(wanted, np.minimum(-(-stops // _PAGE), len(self._pages)), -1)
            missing = (wanted[:-1].cumsum() > 0) & ~self._pages
            edges = np.flatnonzero(np.diff(np.r_[False, missing, False])).reshape(-1, 2).tolist()
            runs = [
                (first, min(first + _MOST_PAGES, stop))
                for start, stop in edges
                for first in range(start, stop, _MOST_PAGES)
            ]
            step = _TOGETHER // (_MOST_PAGES * _PAGE)
            for first in range(0, len(runs), step):
                self._fetch(runs[first : first + step])

    def close(self) -> None:
        """Give back its memory."""
        os.close(self._descriptor)

    def _fetch(self, runs: Sequence[tuple[int, int]]) -> None:
        ranges = [(first * _PAGE, min(stop * _PAGE, len(self))) for first, stop in runs]
        for (first, stop), (start, _), piece in zip(runs, ranges, self._source.read(ranges), strict=True):
            os.pwrite(self._descriptor, piece, start)
            self._pages[first:stop] = True


class SparseDataset:
    """A dataset of GDAL's that reads windows alone, each fetched before; else as GDAL's own."""

    def __init__(self, dataset: DatasetReader, blocks: SparseBlocks) -> None:
        """Take what GDAL opened."""
        self._dataset, self._blocks = dataset, blocks

    def __getattr__(self, name: str) -> Any:
        """Return what the dataset has by a name."""
        return getattr(self._dataset, name)

    def read(self, indexes: Any = None, *, window: Window, **more: Any) -> Any:
        """Return the samples of a window.

        Raises:
            MaskgateError: as `SparseFile.need`.
        """
        self._blocks.need(window.toslices())
        return self._dataset.read(indexes, window=window, **more)

    def read_masks(self, indexes: Any = None, *, window: Window) -> Any:
        """Return the masks of a window; errors as `read`."""
        self._blocks.need(window.toslices())
        return self._dataset.read_masks(indexes, window=window)

    def expect(self, *windows: tuple[slice, slice]) -> None:
        """Fetch what several windows, (rows, columns) each, are going to need; errors as `read`."""
        self._blocks.need(*windows)


class SparseBlocks:
    """The strips or tiles of a file that is not all here; those in JPEG are gone over before GDAL has them.

    Args:
        file: that they are in.
        layers: of the image and its mask.
    """

    def __init__(self, file: SparseFile, layers: Sequence[Blocks]) -> None:
        """Fetch the first of each layer, which GDAL looks at when it opens a file."""
        self.file = file
        self._layers = [(layer, np.zeros(len(layer.starts), np.bool_)) for layer in layers]
        self.need((slice(0, 1), slice(0, 1)))

    def dataset(self, dataset: DatasetReader) -> Any:
        """Return a dataset of the file as it is to be read."""
        return SparseDataset(dataset, self)

    def need(self, *windows: tuple[slice, slice]) -> None:
        """Have what lies under windows, (rows, columns) each, here.

        Raises:
            ImageUnreadable: a piece in JPEG is no fair one; see `check_scans`.
            MaskgateError: as `SparseFile.need`.
        """
        new = []
        for layer, seen in self._layers:
            under = np.unique(np.concatenate([layer.under(*window) for window in windows]))
            new.append((layer, seen, under[~seen[under]]))
        starts = np.concatenate([layer.starts[some] for layer, _, some in new])
        sizes = np.concatenate([layer.sizes[some] for layer, _, some in new])
        self.file.need(starts[sizes > 0], (starts + sizes)[sizes > 0])
        for layer, seen, some in new:
            if layer.jpeg:
                for start, size in zip(layer.starts[some].tolist(), layer.sizes[some].tolist(), strict=True):
                    check_scans(memoryview(self.file[start : start + size]))
            seen[some] = True

    def whole(self) -> None:
        """Have all of the file here, for GDAL to read as it likes; errors as `need`."""
        wide, high = self._layers[0][0].side
        across, down = self._layers[0][0].across, self._layers[0][0].down
        self.need((slice(0, down * high), slice(0, across * wide)))
        self.file.need(np.array([0]), np.array([len(self.file)]))
