"""Whether a file says where its pixels lie on Earth, in words that can be relied on."""

from __future__ import annotations

import re
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.errors import GeometryUnsuitable
from gateway.media.gdal import contained, reading_raster
from gateway.media.geo.georeference import GeoGrid

if TYPE_CHECKING:
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

Json = dict[str, Any]

# Of the ellipsoids of WGS 84 and GRS 80: datums on them differ by what continents drift, two metres or less.
_RADIUS, _SAME = 6_378_137, 0.5

# A coordinate reference system that names files has PROJ read them.
_NAMES_FILES = re.compile(r"(?:grids|init|file|model|catalog)=(?!@null\b)|PARAMETERFILE", re.IGNORECASE)
# How far pixels may be moved on the way to degrees and back.
_RETURN_PIXELS = 0.1

_BROKEN = "The file's coordinate reference system is broken, or none that is known here."


def read_grid(dataset: DatasetReader, wanted: CRS | None = None) -> GeoGrid | None:
    """Return where the pixels of a file lie; None where it says nothing of that.

    Geography that is there and cannot be relied on is refused rather than passed over: without it an image would be
    taken to show the same frame as another of its size.

    Args:
        dataset: the file.
        wanted: coordinate reference system that the caller says; None: that of the file.

    Raises:
        GeometryUnsuitable: a transform without a coordinate reference system, or the reverse; one that is broken, not
            of the Earth, or names files; control points in place of a transform; one that makes a line of all pixels;
            pixels beyond the Earth, beyond the edge of the reference system, or around a pole.
    """
    with reading_raster(_BROKEN, GeometryUnsuitable):
        crs, affine = wanted or dataset.crs, dataset.transform
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
            "The file has a transform and names no coordinate reference system that is known here; `crs` says which."
        )
    with reading_raster(_BROKEN, GeometryUnsuitable):
        if _NAMES_FILES.search(crs.to_wkt()):
            raise GeometryUnsuitable(_BROKEN)
        if not (crs.is_projected or crs.is_geographic):
            raise GeometryUnsuitable(
                "The file's coordinate reference system is neither of degrees nor a projection of them, as one of a "
                "building site is, or of heights alone; `crs` says another."
            )
    if not (all(map(isfinite, (*affine[:6], affine.determinant))) and affine.determinant):
        raise GeometryUnsuitable("The file's transform is not one from pixels to places.")
    with reading_raster(_BROKEN, GeometryUnsuitable):
        crs = horizontal(crs)
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


def said_of_datum(grid: GeoGrid) -> tuple[str, ...]:
    """Return what the caller should know of how positions come to WGS 84.

    Old datums are tied to it by grids of corrections, which are rarely at hand; without one PROJ takes a few
    parameters, or, where it knows none, leaves longitudes and latitudes as they are.
    """
    datum = old_datum(grid.crs)
    if datum is None:
        return ()
    return (
        f"positions on the datum {datum} come to WGS 84 without a grid of corrections, unless PROJ has one for it, and "
        "may be off by tens of metres",
    )


def horizontal(crs: CRS) -> CRS:
    """Return a coordinate reference system without heights: images have none, and not all are written."""
    parts = _parts(crs)
    if parts.get("type") == "CompoundCRS":
        return _of(parts["components"][0], crs)
    if len(parts.get("coordinate_system", {}).get("axis", ())) == 3:
        return _of(_flat(parts), crs)
    return crs


def old_datum(crs: CRS) -> str | None:
    """Return the name of the datum, where it is not one that fits WGS 84 to a few metres; None where it is."""
    parts = _parts(crs)
    while "base_crs" in parts or "source_crs" in parts:
        parts = parts.get("base_crs") or parts["source_crs"]
    datum: Json = parts.get("datum") or parts.get("datum_ensemble") or {}
    ellipsoid: Json = datum.get("ellipsoid", {})
    radius = ellipsoid.get("semi_major_axis", ellipsoid.get("radius"))
    metres = radius["value"] if isinstance(radius, dict) else radius
    if metres is None or ("radius" not in ellipsoid and abs(metres - _RADIUS) < _SAME):
        return None
    return str(datum.get("name", "of an unknown name"))


def _parts(crs: CRS) -> Json:
    """Return PROJ's description."""
    with contained():
        parts: Json = crs.to_dict(projjson=True)
    return parts


def _flat(parts: Json) -> Json:
    """Return a description without the third axis, and without the codes that stand for all three."""
    flat = {key: value for key, value in parts.items() if key != "id"}
    system = parts.get("coordinate_system")
    if system:
        flat["coordinate_system"] = system | {"axis": system["axis"][:2]}
    if "base_crs" in parts:
        flat["base_crs"] = _flat(parts["base_crs"])
    return flat


def _of(parts: Json, instead: CRS) -> CRS:
    """Return the reference system of a description; where PROJ does not take it, another."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    with contained():
        try:
            return CRS.from_dict(parts)
        except CRSError:
            return instead
