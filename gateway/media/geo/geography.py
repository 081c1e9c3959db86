"""Whether a file says where its pixels lie on Earth, in words that can be relied on."""

from __future__ import annotations

import re
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from gateway.errors import GeometryUnsuitable
from gateway.media.gdal import reading_raster
from gateway.media.geo.georeference import GeoGrid

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

# A coordinate reference system that names files has PROJ read them.
_NAMES_FILES = re.compile(r"(?:grids|init|file|model|catalog)=(?!@null\b)|PARAMETERFILE", re.IGNORECASE)
# How far pixels may be moved on the way to degrees and back.
_RETURN_PIXELS = 0.1

_BROKEN = "The file's coordinate reference system is broken, or none that is known here."


def read_grid(dataset: DatasetReader) -> GeoGrid | None:
    """Return where the pixels of a file lie; None where it says nothing of that.

    Geography that is there and cannot be relied on is refused rather than passed over: without it an image would be
    taken to show the same frame as another of its size.

    Raises:
        GeometryUnsuitable: a transform without a coordinate reference system, or the reverse; one that is broken, not
            of the Earth, or names files; control points in place of a transform; one that makes a line of all pixels;
            pixels beyond the Earth, beyond the edge of the reference system, or around a pole.
    """
    with reading_raster(_BROKEN, GeometryUnsuitable):
        crs, affine = dataset.crs, dataset.transform
        by_points = bool(dataset.gcps[0]) or dataset.rpcs is not None
    if affine.is_identity:
        if by_points:
            raise GeometryUnsuitable(
                "The file is placed by control points or a sensor model; warp it to a grid first, as gdalwarp does."
            )
        if crs:
            raise GeometryUnsuitable("The file names a coordinate reference system and no transform to it.")
        return None
    if not crs:
        raise GeometryUnsuitable(
            "The file has a transform and names no coordinate reference system that is known here."
        )
    with reading_raster(_BROKEN, GeometryUnsuitable):
        if not (crs.is_projected or crs.is_geographic) or _NAMES_FILES.search(crs.to_wkt()):
            raise GeometryUnsuitable(_BROKEN)
    if not (all(map(isfinite, (*affine[:6], affine.determinant))) and affine.determinant):
        raise GeometryUnsuitable("The file's transform is not one from pixels to places.")
    grid = GeoGrid(crs, affine, dataset.width, dataset.height)
    corners = np.array([(0, 0), (0, grid.height), (grid.width, grid.height), (grid.width, 0)], np.float64)
    returned = grid.from_lon_lat(grid.to_lon_lat(corners))
    if not np.abs(returned - corners).max() < _RETURN_PIXELS:
        raise GeometryUnsuitable(
            "The image reaches beyond the edge of its coordinate reference system; warp it to one such as UTM."
        )
    if not (grid.footprint and all(0 < metres < inf for metres in grid.gsd)):
        raise GeometryUnsuitable("The file's pixels have no size on Earth.")
    return grid
