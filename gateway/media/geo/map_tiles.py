"""Label maps as tiles of a web map: squares of the Mercator projection, halved from zoom to zoom.

Why GDAL's warped dataset and not rio-tiler, which stands on it: what is needed of it are the sixty lines below, and it
brings thirty packages, 42 MB with a second PROJ, and takes 2.1 s and 96 MB to import where rasterio takes 0.6 and 54.

Tile matrix set WebMercatorQuad (OGC 17-083r4, D.1): https://docs.ogc.org/is/17-083r4/17-083r4.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, cos, floor, log2, pi, radians
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from affine import Affine

from gateway.errors import Internal
from gateway.media.gdal import reading_raster
from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.geography import read_grid
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.parts import overlap

UInt8 = npt.NDArray[np.uint8]

SIDE = 256
"""Pixels of a tile, each way."""

FINEST = 24
"""Largest zoom."""

_WORLD = 2 * pi * 6_378_137
_FAILED = "The tile could not be drawn."
_KEPT = 4096


@dataclass(frozen=True, eq=False)
class LabelMapFile:
    """A label map on disk.

    Attributes:
        path: of the file.
        grid: where it lies.
        smaller: how many times it is there in half the size of the one before.
        colours: uint8 (256, 4), RGBA of each value; background and what was not observed are transparent.
    """

    path: Path
    grid: GeoGrid
    smaller: int
    colours: UInt8

    @property
    def zooms(self) -> tuple[int, int]:
        """The zoom in which it is about one tile, and the first whose pixels are no larger than its own."""
        finest = ceil(log2(_WORLD * cos(radians(self.grid.centre[1])) / SIDE / min(self.grid.gsd)))
        tiles = max(self.grid.width, self.grid.height) / SIDE
        return max(0, finest - ceil(log2(max(1.0, tiles)))), min(max(finest, 0), FINEST)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north; of one over the antimeridian all longitudes."""
        longitudes, latitudes = zip(*self.grid.footprint, strict=True)
        west, east = (-180.0, 180.0) if self.passes_antimeridian else (min(longitudes), max(longitudes))
        return west, min(latitudes), east, max(latitudes)

    @property
    def passes_antimeridian(self) -> bool:
        """Whether its outline goes on beyond ±180°."""
        return any(abs(longitude) > 180 for longitude, _ in self.grid.footprint)


@dataclass(frozen=True)
class MapTile:
    """A tile: its zoom, and its column and row from the top left corner of the world."""

    z: int
    x: int
    y: int

    @property
    def grid(self) -> GeoGrid:
        """Where its pixels lie."""
        from rasterio.crs import CRS

        span = _WORLD / 2**self.z
        place = Affine(span / SIDE, 0, self.x * span - _WORLD / 2, 0, -span / SIDE, _WORLD / 2 - self.y * span)
        with reading_raster(_FAILED, Internal):
            return GeoGrid(CRS.from_epsg(3857), place, SIDE, SIDE)

    def shows(self, file: LabelMapFile) -> bool:
        """Return whether a map reaches into the tile."""
        return file.passes_antimeridian or not overlap(self.grid, file.grid).is_empty


@lru_cache(_KEPT)
def open_label_map(path: Path, digest: str) -> LabelMapFile | None:
    """Return what is known of a GeoTIFF; None where that is no label map with a place on Earth and colours.

    Args:
        path: of a file that this gateway wrote.
        digest: of its content, which tells a file from another in its place.
    """
    import rasterio

    with reading_raster(_FAILED, Internal), rasterio.open(path, driver="GTiff") as file:
        grid = read_grid(file)
        if grid is None or file.count != 1 or file.colorinterp[0].name != "palette":
            return None
        colours = np.zeros((256, 4), np.uint8)
        for value, colour in file.colormap(1).items():
            colours[value] = colour
        colours[[0, NOT_OBSERVED]] = 0
        return LabelMapFile(path, grid, len(file.overviews(1)), colours)


def draw_tile(files: Sequence[LabelMapFile], tile: MapTile) -> bytes:
    """Return a tile as PNG, RGBA; where maps overlap the first that observed something counts.

    Raises:
        Internal: a file is not there any more.
    """
    picture = np.zeros((SIDE, SIDE, 4), np.uint8)
    left = np.ones((SIDE, SIDE), np.bool_)
    for file in files:
        labels = _labels(file, tile.grid)
        new = left & (labels != NOT_OBSERVED)
        picture[new] = file.colours[labels[new]]
        left &= ~new
    done, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA))
    if not done:
        raise Internal(_FAILED)
    return encoded.tobytes()


def _labels(file: LabelMapFile, grid: GeoGrid) -> UInt8:
    """Return the values of a map on the grid of a tile, uint8 (SIDE, SIDE)."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    metres = grid.affine.a * cos(radians(file.grid.centre[1]))
    halvings = min(floor(log2(max(1.0, metres / min(file.grid.gsd)))), file.smaller)
    level = {"overview_level": halvings - 1} if halvings else {}
    with (
        reading_raster(_FAILED, Internal),
        rasterio.open(file.path, driver="GTiff", **level) as source,
        WarpedVRT(
            source,
            crs=grid.crs,
            transform=grid.affine,
            width=SIDE,
            height=SIDE,
            resampling=Resampling.nearest,
            nodata=NOT_OBSERVED,
        ) as warped,
    ):
        return np.asarray(warped.read(1), np.uint8)
