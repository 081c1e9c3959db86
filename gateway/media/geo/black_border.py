"""The black collar around an image that was turned or cut to its footprint without saying where it ends.

A pixel is of the collar where nothing but black lies between it and one of the four sides, straight across or down, as
GDAL's ``nearblack`` has it: dark water in the middle of a scene stays part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gateway.media.geo.georeference import GeoGrid

if TYPE_CHECKING:
    from rasterio.io import DatasetReader, MemoryFile

Bool = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]

_CORNER = 2
# Lossy compression makes a black area this bright next to a bright one; ``nearblack`` has the same.
_LOSSY_BLACK = 15
_BAND_PIXELS = 1 << 22
_TILE = 256


@dataclass(frozen=True, eq=False)
class Collar:
    """What lies within the collar.

    Attributes:
        left: int64 (height,): in each row the first pixel that is not of the collar.
        right: the same: the first one of it behind.
        top: int64 (width,): in each column the first pixel that is not of it.
        bottom: the same: the first one of it below.
    """

    left: Int64
    right: Int64
    top: Int64
    bottom: Int64

    def inside(self, rows: slice, columns: slice) -> Bool:
        """Return where a window is not of the collar, bool (rows, columns)."""
        y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)
        across = (x >= self.left[rows, None]) & (x < self.right[rows, None])
        within: Bool = across & (y >= self.top[columns]) & (y < self.bottom[columns])
        return within


def find_collar(dataset: DatasetReader, bands: tuple[int, ...], *, lossy: bool) -> Collar | None:
    """Return the black collar of an image; None where no corner is black, which costs four glances and no pass over it.

    Args:
        dataset: the image.
        bands: those that count, from 1.
        lossy: whether black may be stored as nearly black.
    """
    from rasterio.windows import Window

    width, height = dataset.width, dataset.height
    darkest = _LOSSY_BLACK if lossy else 0

    def black(x: int, y: int, across: int, down: int) -> Bool:
        samples = dataset.read(bands, window=Window(x, y, across, down))
        dark: Bool = (samples <= darkest).all(axis=0) & (samples >= 0).all(axis=0)
        return dark

    corners = [(x, y) for x in (0, width - _CORNER) for y in (0, height - _CORNER)]
    if not any(black(x, y, _CORNER, _CORNER).all() for x, y in corners):
        return None
    left, right = np.zeros(height, np.int64), np.zeros(height, np.int64)
    top, bottom = np.full(width, height, np.int64), np.zeros(width, np.int64)
    step = max(1, _BAND_PIXELS // width)
    for y in range(0, height, step):
        bright = ~black(0, y, width, min(step, height - y))
        rows = slice(y, y + len(bright))
        left[rows], right[rows] = _ends(bright)
        first, behind = _ends(bright.T)
        seen = behind > 0
        top[seen] = np.minimum(top[seen], y + first[seen])
        bottom[seen] = y + behind[seen]
    return Collar(left, right, top, bottom)


def _ends(bright: Bool) -> tuple[Int64, Int64]:
    """Return in each row the first bright pixel and the one behind the last; of a dark row its length, and 0."""
    length = bright.shape[1]
    some = bright.any(axis=1)
    first = np.where(some, bright.argmax(axis=1), length)
    behind = np.where(some, length - bright[:, ::-1].argmax(axis=1), 0)
    return first.astype(np.int64), behind.astype(np.int64)


def collar_mask(collar: Collar, grid: GeoGrid) -> MemoryFile:
    """Return the collar as a GeoTIFF in memory, deflated: 0, and 255 where the image is. Whoever asked closes it."""
    from rasterio.io import MemoryFile
    from rasterio.windows import Window

    memory = MemoryFile(ext=".tif")
    with memory.open(
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=1,
        dtype="uint8",
        crs=grid.crs,
        transform=grid.affine,
        tiled=True,
        compress="deflate",
        zlevel=1,
    ) as file:
        for y in range(0, grid.height, _TILE):
            rows = slice(y, min(y + _TILE, grid.height))
            inside = collar.inside(rows, slice(0, grid.width))
            file.write(inside.view(np.uint8) * np.uint8(255), 1, window=Window.from_slices(rows, slice(0, grid.width)))
    return memory
