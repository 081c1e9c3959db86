"""The collar around an image that was turned or cut to its footprint without saying where it ends.

It is black, or of the one colour that a corner has. A pixel is of the collar where nothing but that lies between it
and one of the four sides, straight across or down, as GDAL's ``nearblack`` has it: dark water in the middle of a scene
stays part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.parts import Part, part_of

if TYPE_CHECKING:
    from rasterio.io import DatasetReader, MemoryFile

Bool = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
Fills = tuple[float, ...]

# A corner that is black, and one of another colour: a roof or a cloud may fill a few pixels of one.
_CORNER, _COLOURED_CORNER = 2, 16
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
        colours: samples per band of the collar where it is not black.
        black: samples up to this are black; None: it is of no colour but those.
        part: rows and columns within which the other attributes hold; None: everywhere.
    """

    left: Int64
    right: Int64
    top: Int64
    bottom: Int64
    colours: tuple[tuple[float, ...], ...] = ()
    black: int | None = None
    part: Part | None = None

    @property
    def said(self) -> str:
        """What the caller should know of it."""
        kind = "border of one colour" if self.colours else "black border"
        return f"{kind} around the image is not classified"

    def inside(self, rows: slice, columns: slice) -> Bool:
        """Return where a window is not of the collar, bool (rows, columns)."""
        y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)
        across = (x >= self.left[rows, None]) & (x < self.right[rows, None])
        within: Bool = across & (y >= self.top[columns]) & (y < self.bottom[columns])
        return within

    def inside_by(self, samples: npt.NDArray[Any], rows: slice, columns: slice) -> Bool:
        """Return what `inside` does, and outside of the part where `samples` of the window are of another colour.

        Args:
            samples: (bands, rows, columns).
            rows: of the window.
            columns: of the window.
        """
        if self.part is None or (_holds(self.part[0], rows) and _holds(self.part[1], columns)):
            return self.inside(rows, columns)
        return ~_coloured(samples, self.black, self.colours)


def find_collar(
    dataset: DatasetReader,
    bands: tuple[int, ...],
    *,
    lossy: bool,
    zero_is_black: bool = True,
    fills: Fills = (),
    part: Part | None = None,
) -> Collar | None:
    """Return the collar of an image; None where no corner is of one, which costs four glances and no pass over it.

    Args:
        dataset: the image.
        bands: those that count, from 1.
        lossy: whether black may be stored as nearly black; a collar of another colour is not looked for then.
        zero_is_black: whether samples of 0 are; in palettes and inverted grey they may be of any colour.
        fills: samples that are known to show nothing, and need no border.
        part: rows and columns within which it has to be known, for which these alone are read; None: all.
    """
    from rasterio.windows import Window

    width, height = dataset.width, dataset.height
    darkest = _LOSSY_BLACK if lossy else 0
    black = partial(_coloured, black=darkest, colours=())

    def read(x: int, y: int, across: int, down: int) -> npt.NDArray[Any]:
        return np.asarray(dataset.read(bands, window=Window(x, y, across, down)))

    def corners(side: int) -> list[npt.NDArray[Any]]:
        return [read(x, y, side, side) for x in (0, width - side) for y in (0, height - side)]

    dark = zero_is_black and any(black(corner).all() for corner in corners(_CORNER))
    colours = set()
    if not lossy and min(width, height) > 2 * _COLOURED_CORNER:
        for corner in corners(_COLOURED_CORNER):
            colour = tuple(corner[:, 0, 0].tolist())
            if (corner == corner[:, :1, :1]).all() and not (dark and black(corner).any()) and set(colour) - set(fills):
                colours.add(colour)
    if not (dark or colours):
        return None

    of_collar = darkest if dark else None, tuple(sorted(colours))
    left, right = np.zeros(height, np.int64), np.zeros(height, np.int64)
    top, bottom = np.full(width, height, np.int64), np.zeros(width, np.int64)
    for y, x, down, across in _bands(height, width, part):
        bright = ~_coloured(read(x, y, across, down), *of_collar)
        if across == width:
            left[y : y + down], right[y : y + down] = _ends(bright)
        first, behind = _ends(bright.T)
        some = behind > 0
        seen = x + np.flatnonzero(some)
        top[seen] = np.minimum(top[seen], y + first[some])
        bottom[seen] = y + behind[some]
    if not (dark or bottom.any()):
        # All of one colour: that may be fog, and is no border.
        return None
    return Collar(left, right, top, bottom, of_collar[1], of_collar[0], part)


def _coloured(samples: npt.NDArray[Any], black: int | None, colours: Sequence[tuple[float, ...]]) -> Bool:
    """Return where samples, (bands, rows, columns), are of a colour, or as dark as black; bool (rows, columns)."""
    found = np.zeros(samples.shape[1:], np.bool_)
    if black is not None:
        found |= ((samples <= black) & (samples >= 0)).all(axis=0)
    for colour in colours:
        found |= (samples == np.array(colour)[:, None, None]).all(axis=0)
    return found


def _holds(whole: slice, part: slice) -> bool:
    return bool(whole.start <= part.start and part.stop <= whole.stop)


def _bands(height: int, width: int, part: Part | None) -> Iterator[tuple[int, int, int, int]]:
    """Yield windows (y, x, down, across) from top to bottom: the rows of a part whole, of all others its columns."""
    rows, columns = part or (slice(0, height), slice(0, width))
    for start, stop, beside in (
        (0, rows.start, columns),
        (rows.start, rows.stop, slice(0, width)),
        (rows.stop, height, columns),
    ):
        across = beside.stop - beside.start
        step = max(1, _BAND_PIXELS // max(1, across))
        for y in range(start, stop if across else start, step):
            yield y, beside.start, min(step, stop - y), across


def _ends(bright: Bool) -> tuple[Int64, Int64]:
    """Return in each row the first bright pixel and the one behind the last; of a dark row its length, and 0."""
    length = bright.shape[1]
    some = bright.any(axis=1)
    first = np.where(some, bright.argmax(axis=1), length)
    behind = np.where(some, length - bright[:, ::-1].argmax(axis=1), 0)
    return first.astype(np.int64), behind.astype(np.int64)


def mask_file(inside: Callable[[slice, slice], Bool], whole: GeoGrid, part: Part | None = None) -> MemoryFile:
    """Return a mask as a GeoTIFF in memory, deflated: 0, and 255 where something is. Whoever asked closes it.

    Args:
        inside: returns a window of the mask, bool (rows, columns).
        whole: where it lies.
        part: rows and columns that are enough of it; None: all.
    """
    from rasterio.io import MemoryFile
    from rasterio.windows import Window

    rows, columns = part or (slice(0, whole.height), slice(0, whole.width))
    grid = part_of(whole, (rows, columns))

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
            stop = min(y + _TILE, grid.height)
            seen = inside(slice(rows.start + y, rows.start + stop), columns)
            file.write(np.where(seen, np.uint8(255), np.uint8(0)), 1, window=Window(0, y, grid.width, stop - y))
    return memory
