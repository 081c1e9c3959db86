"""Overlapping square tiles over an image of any size, and the way back without seams.

`plan` lays the grid, `gather` cuts one row of tiles, and `Stitcher` blends the tiles' probabilities
back, tile by tile. Nothing here is as large as the image: working memory grows with width × overlap.
Training, evaluation and serving tile with these functions, so they see the same frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Blend = Literal["linear", "mean"]
UInt8 = npt.NDArray[np.uint8]

_ROWS = 64


@dataclass(frozen=True)
class Grid:
    """Where the tiles of one image lie; all in pixels, origin top left.

    Attributes:
        height: height of the image.
        width: width of the image.
        tile: side of the square tiles.
        overlap: what two neighbours share at least.
        rows: y of each row of tiles, ascending from 0.
        columns: x of each column of tiles, ascending from 0.
    """

    height: int
    width: int
    tile: int
    overlap: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def tiles(self) -> int:
        """Number of tiles: what one image costs an engine."""
        return len(self.rows) * len(self.columns)

    def below(self, row: int) -> int:
        """Return the y where the next row of tiles begins; after the last one where the image ends."""
        return _next(self.rows, row, self.height)

    def beside(self, column: int) -> int:
        """Return the x where the next column of tiles begins; after the last one where the image ends."""
        return _next(self.columns, column, self.width)


def plan(height: int, width: int, tile: int, overlap: int) -> Grid:
    """Return the grid of tiles that covers a `height` × `width` image.

    Origins step by ``tile − overlap``; the last one is pulled back so that its tile ends with the
    image. A side no longer than `tile` takes one tile, which `gather` fills up by reflection.

    Raises:
        ValueError: a side is not positive, or not 0 ≤ overlap < tile.
    """
    if min(height, width) < 1 or not 0 <= overlap < tile:
        raise ValueError(f"no grid for {width}×{height} with tile {tile} and overlap {overlap}")
    return Grid(height, width, tile, overlap, _origins(height, tile, overlap), _origins(width, tile, overlap))


def _origins(side: int, tile: int, overlap: int) -> tuple[int, ...]:
    last = max(side - tile, 0)
    return (*range(0, last, tile - overlap), last)


def gather(image: npt.NDArray[Any], grid: Grid, row: int) -> npt.NDArray[Any]:
    """Return row `row` of tiles as one batch.

    Args:
        image: (height, width) or (height, width, C), of any dtype that OpenCV knows.
        grid: the plan for this image.
        row: index into ``grid.rows``.

    Returns:
        A C-contiguous (columns, tile, tile[, C]) array of the image's dtype. Each pixel is copied once:
        engines take one contiguous block, and overlapping tiles cannot be views of the image in one. An image
        that is one tile exactly is not copied: do not write to it.
        Beyond the image the tile mirrors it (edge pixel not repeated), as often as it takes.
    """
    tile, y = grid.tile, grid.rows[row]
    if image.shape[:2] == (tile, tile):
        return image[np.newaxis]
    batch = np.empty((len(grid.columns), tile, tile, *image.shape[2:]), image.dtype)
    for out, x in zip(batch, grid.columns, strict=True):
        cut = image[y : y + tile, x : x + tile]
        below, beside = tile - cut.shape[0], tile - cut.shape[1]
        if below or beside:
            cut = cv2.copyMakeBorder(cut, 0, below, 0, beside, cv2.BORDER_REFLECT_101).reshape(out.shape)
        out[...] = cut
    return batch


def gather_stacked(strips: Sequence[npt.NDArray[Any]], grid: Grid) -> npt.NDArray[Any]:
    """Return what `gather` does of strips of an image, one below the other, that make a single row of tiles.

    They are not joined before, which would copy them once more, but where the image is smaller than a tile.

    Args:
        strips: (rows, width) or (rows, width, C) each, at least one.
        grid: the plan for the image that they make.
    """
    tile = grid.tile
    if len(strips) == 1 or min(grid.height, grid.width) < tile:
        return gather(strips[0] if len(strips) == 1 else np.concatenate(strips), grid, 0)
    batch = np.empty((len(grid.columns), tile, tile, *strips[0].shape[2:]), strips[0].dtype)
    top = 0
    for strip in strips:
        stop = top + len(strip)
        for out, x in zip(batch, grid.columns, strict=True):
            out[top:stop] = strip[:, x : x + tile]
        top = stop
    return batch


@dataclass(frozen=True)
class _Segment:
    """A stretch of one axis in which the same tiles contribute.

    `weights` is uint16, (len(tiles), stop − start), and every column sums to exactly 256: blending
    equal values gives that value back, and 256 · 255 + 128 still fits uint16.
    """

    start: int
    stop: int
    tiles: tuple[int, ...]
    weights: npt.NDArray[np.uint16]


def _segments(origins: tuple[int, ...], tile: int, side: int, blend: Blend) -> Iterator[_Segment]:
    """Yield the segments of one axis in order; every origin begins one."""
    # A triangle over the tile falls to 1 at its ends, so that between two neighbours the normalised
    # weights are a ramp from (almost) one tile to the other, however wide the overlap came out.
    rise = np.arange(1, tile + 1)
    shape = np.minimum(rise, rise[::-1]) if blend == "linear" else np.ones(tile, int)
    cuts = sorted({*origins, *(min(origin + tile, side) for origin in origins)})
    for start, stop in pairwise(cuts):
        tiles = tuple(i for i, origin in enumerate(origins) if origin <= start < origin + tile)
        raw = np.stack([shape[start - origins[i] : stop - origins[i]] for i in tiles])
        # Rounding the running sum instead of each weight keeps the total at 256 exactly.
        shares = np.rint(256 * np.cumsum(raw, axis=0) / raw.sum(axis=0))
        yield _Segment(start, stop, tiles, np.diff(shares, axis=0, prepend=0).astype(np.uint16))


def _weighted(parts: list[UInt8], weights: npt.NDArray[np.uint16]) -> UInt8:
    """Return the blend of equally shaped `parts`, rounded to the nearest level.

    Args:
        parts: uint8 (rows, n) each.
        weights: uint16 (len(parts), rows, n), or 1 for rows or n where all have the same.
    """
    blend = np.empty(parts[0].shape, np.uint8)
    # Some rows at a time: sums take four times what they are rounded to.
    for start in range(0, len(blend), _ROWS):
        rows = slice(start, start + _ROWS)
        own = weights[:, rows] if weights.shape[1] > 1 else weights
        total = np.multiply(parts[0][rows], own[0], dtype=np.uint16)
        for part, weight in zip(parts[1:], own[1:], strict=True):
            total += np.multiply(part[rows], weight, dtype=np.uint16)
        total += 128
        total >>= 8
        blend[rows] = total
    return blend


Piece = tuple[slice, slice, UInt8]
"""Rows and columns of an image, and the values there, (rows, columns, C)."""


class Stitcher:
    """Blends the tiles of one grid, one after the other, into pieces of the whole image.

    Blending is separable: first along x within a row of tiles, then along y between rows. Values are
    rounded to the nearest level after either. Held are the tiles that still contribute to the next one of their row,
    and the rows that still contribute below.

    Args:
        grid: the plan that the tiles were gathered with.
        classes: C, the values per pixel.
        blend: ``"linear"`` ramps from tile to tile across their overlap; ``"mean"`` weighs them equally.
    """

    def __init__(self, grid: Grid, classes: int, blend: Blend = "linear") -> None:
        """Lay out the segments of both axes."""
        self._grid = grid
        self._classes = classes
        self._across = _by_origin(_segments(grid.columns, grid.tile, grid.width, blend), grid.columns)
        self._down = _by_origin(_segments(grid.rows, grid.tile, grid.height, blend), grid.rows)
        # Of the row of tiles at hand, by column; and of rows of tiles, blended along x, from which row of the image on.
        self._tiles: dict[int, UInt8] = {}
        self._strips: dict[int, tuple[int, UInt8]] = {}
        self._row = self._column = 0

    def add(self, tile: UInt8) -> Piece:
        """Take the next tile, in the order of `gather`, and return what it makes final.

        Args:
            tile: uint8, (tile, tile, C).

        Returns:
            A piece from where the tile begins to where those right of it and below begin, or the image ends: together
            they are the image.

        Raises:
            ValueError: all tiles are there already, or the shape is not this grid's.
        """
        grid, row, column = self._grid, self._row, self._column
        expected = (grid.tile, grid.tile, self._classes)
        if row == len(grid.rows) or tile.shape != expected:
            raise ValueError(f"row {row} of {len(grid.rows)}: a tile of {tile.shape}, expected {expected}")
        # Pixels and classes are one axis here, so that numpy's inner loops run over whole rows.
        self._tiles[column] = tile.reshape(grid.tile, -1)[: grid.height]
        x, right = grid.columns[column], grid.beside(column)
        y, below = grid.rows[row], grid.below(row)
        strip, values = self._blended_across(x, right), slice(x * self._classes, right * self._classes)
        if y + len(strip) > below:
            self._kept(row, below, y + len(strip) - below)[:, values] = strip[below - y :]
        for segment in self._down[row]:
            above = [self._strips[i] for i in segment.tiles[:-1]]
            if above:
                parts = [rows[segment.start - top : segment.stop - top, values] for top, rows in above]
                own = strip[segment.start - y : segment.stop - y]
                own[...] = _weighted([*parts, own], segment.weights[:, :, np.newaxis])
        self._tiles = {i: tile for i, tile in self._tiles.items() if grid.columns[i] + grid.tile > right}
        self._column += 1
        if self._column == len(grid.columns):
            self._end_row(below)
        final = strip[: below - y].reshape(-1, right - x, self._classes)
        return slice(y, below), slice(x, right), final

    def add_all(self, tiles: Iterable[UInt8]) -> Iterator[Piece]:
        """Take the tiles that follow, as `add` does one, and yield what each makes final."""
        return map(self.add, tiles)

    def _blended_across(self, x: int, right: int) -> UInt8:
        """Blend along x the columns that the last tile makes final: (rows, columns · C)."""
        classes, origins = self._classes, self._grid.columns
        strip = np.empty((len(self._tiles[self._column]), (right - x) * classes), np.uint8)
        for segment in self._across[self._column]:
            parts = [
                self._tiles[i][:, (segment.start - origins[i]) * classes : (segment.stop - origins[i]) * classes]
                for i in segment.tiles
            ]
            out = strip[:, (segment.start - x) * classes : (segment.stop - x) * classes]
            out[...] = (
                parts[0]
                if len(parts) == 1
                else _weighted(parts, segment.weights.repeat(classes, axis=1)[:, np.newaxis])
            )
        return strip

    def _kept(self, row: int, top: int, rows: int) -> UInt8:
        """Return where what a row of tiles contributes from the image's row `top` on is kept, (rows, width · C)."""
        if row not in self._strips:
            self._strips[row] = top, np.empty((rows, self._grid.width * self._classes), np.uint8)
        return self._strips[row][1]

    def _end_row(self, below: int) -> None:
        """Go on with the next row of tiles, and let go of what contributes no more."""
        self._row, self._column, self._tiles = self._row + 1, 0, {}
        self._strips = {
            i: (top, strip) if top == below else (below, strip[below - top :].copy())
            for i, (top, strip) in self._strips.items()
            if top + len(strip) > below
        }


def _next(origins: tuple[int, ...], number: int, side: int) -> int:
    """Return where the tile that follows begins; after the last one the end of the side."""
    return origins[number + 1] if number + 1 < len(origins) else side


def _by_origin(segments: Iterator[_Segment], origins: tuple[int, ...]) -> list[list[_Segment]]:
    """Return of each tile the segments that it makes final, which are those before the next one begins."""
    found: list[list[_Segment]] = [[] for _ in origins]
    for segment in segments:
        found[segment.tiles[-1]].append(segment)
    return found
