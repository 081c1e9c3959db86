"""Several GeoTIFFs that show one image in tiles, read as one.

Tiles on the grid of the first are read as they are; others, of another resolution or coordinate reference system, are
warped to it. Where tiles overlap the first that shows something counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from gateway.errors import GeographyMissing, ParameterInvalid
from gateway.media.geo.alignment import BorrowedRaster, aligned
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import GeoTiff
from gateway.media.geo.parts import NOTHING, in_box, overlap, part_of, under, widened
from gateway.media.geo.rasters import Raster, RasterInfo
from gateway.media.geo.reading import Box
from gateway.media.pictures.images import ImageLimits

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

# Of a pixel: by how much a tile may be off the grid of the first, over all of it, to be read as it is.
_OFF = 0.01
# Pixels beside what a grid covers that are fetched too: a shift may yet be undone.
_BESIDE = 32
# Pixels around what a tile covers by its outline that it may yet have something in, once warped.
_MARGIN = 2


class TiledRaster:
    """Rasters side by side on one grid; see `Raster`.

    Args:
        info: of all together.
        tiles: each with the window of that grid which it lies in.
    """

    def __init__(self, info: RasterInfo, tiles: Sequence[_Tile]) -> None:
        """Keep the tiles."""
        self.info = info
        self._tiles = tiles

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`."""
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        pixels, observed = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.bool_)
        for tile in self._tiles:
            own_rows, own_columns = _common(rows, tile.rows), _common(columns, tile.columns)
            if own_rows.stop <= own_rows.start or own_columns.stop <= own_columns.start:
                continue
            read, seen = tile.raster.read(_moved(own_rows, tile.down), _moved(own_columns, tile.across))
            place = _moved(own_rows, rows.start), _moved(own_columns, columns.start)
            new = seen & ~observed[place]
            pixels[place][new] = read[new]
            observed[place] |= new
        return pixels, observed

    def close(self) -> None:
        """Give back what the tiles hold."""
        for tile in self._tiles:
            tile.raster.close()


class Mosaic(TiledRaster):
    """An image in tiles, on the grid of the first of them, as far as all of them reach.

    Args:
        tiles: all with geography; they stay open as long as the mosaic.
        limits: of the whole.

    Raises:
        GeographyMissing: a tile has none.
        ImageTooLarge: so far apart that the whole is larger than `limits` has it.
        GeometryUnsuitable: there is no way from one coordinate reference system to another.
    """

    def __init__(self, tiles: Sequence[GeoTiff], limits: ImageLimits) -> None:
        """Lay the tiles out."""
        self.tiles = tuple(tiles)
        grid = _united([_grid_of(tile) for tile in tiles])
        limits.check(grid.width, grid.height)
        first = tiles[0].info
        said = dict.fromkeys(notice for tile in tiles for notice in tile.info.notices)
        notices = (f"{len(tiles)} tiles put together", *said)
        info = RasterInfo(grid.width, grid.height, first.bands, first.dtype, grid, notices)
        laid = [_laid(tile, grid) for tile in tiles]
        super().__init__(info, [tile for tile in laid if tile is not None])


def brought(image: GeoTiff | Mosaic, grid: GeoGrid, shift: tuple[float, float] = (0.0, 0.0)) -> Raster:
    """Return an image on another grid; see `aligned`, which each tile of a mosaic is by itself."""
    if isinstance(image, GeoTiff):
        return aligned(image, grid, shift)
    said = image.info
    info = RasterInfo(grid.width, grid.height, said.bands, said.dtype, grid, said.notices)
    found = [_warped(tile, grid, shift) for tile in image.tiles]
    return TiledRaster(info, [tile for tile in found if tile is not None])


def fetch_under(tiles: Sequence[GeoTiff], grid: GeoGrid) -> None:
    """Have here what a grid shows of files that are elsewhere, as far as it can be told before they are read.

    Raises:
        MaskgateError: as `SparseFile.need`.
    """
    for tile in tiles:
        own = _grid_of(tile)
        part = under(own, grid)
        if part != NOTHING:
            tile.fetch(widened(part, _BESIDE, own))


def cropped(image: GeoTiff | Mosaic, box: Box, limits: ImageLimits) -> Raster:
    """Return the part of an image that reaches around a box; the image stays open as long as that.

    Raises:
        GeographyMissing: the image does not say where it lies.
        ParameterInvalid: it lies elsewhere.
        ImageTooLarge: the part is larger than `limits` have it.
        ImageUnsuitable: it is smaller.
    """
    grid = image.info.grid
    if grid is None:
        raise GeographyMissing("The image does not say where on Earth it lies, and a part of it is asked for by that.")
    part = in_box(grid, box)
    if part == NOTHING:
        raise ParameterInvalid("Nothing of the pre image lies in the box.")
    own = part_of(grid, part)
    limits.check(own.width, own.height, "What the box has of it")
    rows, columns = part
    whole = _Tile(BorrowedRaster(image), slice(0, own.height), slice(0, own.width), -rows.start, -columns.start)
    return TiledRaster(replace(image.info, width=own.width, height=own.height, grid=own), [whole])


@dataclass(frozen=True)
class _Tile:
    """A raster, the window of the whole that it lies in, and the row and column of the whole that are its first."""

    raster: Raster
    rows: slice
    columns: slice
    down: int = 0
    across: int = 0


def _grid_of(tile: GeoTiff) -> GeoGrid:
    if tile.info.grid is None:
        raise GeographyMissing("A tile does not say where on Earth it lies, and several are put together by that.")
    return tile.info.grid


def _united(grids: Sequence[GeoGrid]) -> GeoGrid:
    """Return the grid of the first, as far as all reach."""
    first = grids[0]
    corners = np.concatenate(
        [
            [(0, 0), (first.width, first.height)],
            *[_corners(first, other) for other in grids[1:]],
        ]
    )
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    x, y = floor(left + _OFF), floor(top + _OFF)
    width, height = ceil(right - _OFF) - x, ceil(bottom - _OFF) - y
    return GeoGrid(first.crs, first.affine @ Affine.translation(x, y), width, height)


def _corners(first: GeoGrid, other: GeoGrid) -> Any:
    """Return where the outline of another grid lies, in pixels of the first."""
    if offset := _offset(first, other):
        x, y = offset
        return [(x, y), (x + other.width, y + other.height)]
    outline = first.from_lon_lat(other.footprint)
    return outline if np.isfinite(outline).all() else np.empty((0, 2))


def _offset(first: GeoGrid, other: GeoGrid) -> tuple[int, int] | None:
    """Return the pixel of the first grid that the first one of another is; None where their pixels differ."""
    if first.crs != other.crs:
        return None
    steps = ~first.affine @ other.affine
    x, y = round(steps.c), round(steps.f)
    off = (
        abs(steps.a - 1) * other.width + abs(steps.b) * other.height + abs(steps.c - x),
        abs(steps.e - 1) * other.height + abs(steps.d) * other.width + abs(steps.f - y),
    )
    return (x, y) if max(off) < _OFF else None


def _laid(tile: GeoTiff, grid: GeoGrid) -> _Tile | None:
    """Return a tile in the whole."""
    info = tile.info
    if offset := _offset(grid, _grid_of(tile)):
        x, y = offset
        return _Tile(BorrowedRaster(tile), slice(y, y + info.height), slice(x, x + info.width), y, x)
    return _warped(tile, grid, (0.0, 0.0))


def _warped(tile: GeoTiff, grid: GeoGrid, shift: tuple[float, float]) -> _Tile | None:
    """Return a tile on a grid; None where it has nothing there."""
    covered = overlap(grid, _grid_of(tile))
    if covered.is_empty:
        return None
    x0, y0, x1, y1 = covered.bounds
    across, down = abs(shift[0]) + _MARGIN, abs(shift[1]) + _MARGIN
    rows = slice(max(0, floor(y0 - down)), min(grid.height, ceil(y1 + down)))
    columns = slice(max(0, floor(x0 - across)), min(grid.width, ceil(x1 + across)))
    return _Tile(aligned(tile, grid, shift), rows, columns)


def _common(first: slice, second: slice) -> slice:
    return slice(max(first.start, second.start), min(first.stop, second.stop))


def _moved(window: slice, by: int) -> slice:
    return slice(window.start - by, window.stop - by)
