"""Districts of a map, and how many buildings of each class stand in each.

Districts are a GeoJSON feature collection of polygons in WGS 84. An older collection may name another coordinate
reference system by its EPSG code, in the member ``crs`` of GeoJSON 2008.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from gateway.errors import DistrictsInvalid, DistrictsTooLarge
from gateway.media.gdal import contained
from gateway.media.geo.georeference import GeoGrid, lon_lat_crs, transformed
from gateway.media.geo.vectors import building_areas, outlines
from gateway.media.quiet import answering
from gateway.vision.regions import Region

if TYPE_CHECKING:
    from rasterio.crs import CRS

Int64 = npt.NDArray[np.int64]

_EPSG = re.compile(r"(?:urn:ogc:def:crs:EPSG:[0-9.]*:|EPSG:)([0-9]{4,6})", re.IGNORECASE)
_CRS84 = re.compile(r"urn:ogc:def:crs:OGC:[0-9.]*:CRS84", re.IGNORECASE)
_COLLECTION = "The districts are not a GeoJSON feature collection."


@dataclass(frozen=True)
class District:
    """One polygon of the layer.

    Attributes:
        id: the feature's, as it has it; else its number from 0.
        name: its property ``name``, where that is a text.
        shape: polygon or polygons in longitude and latitude.
    """

    id: str | int
    name: str | None
    shape: BaseGeometry


@dataclass(frozen=True)
class DistrictCount:
    """What stands in one district.

    Attributes:
        district: which; None: buildings that stand in none.
        buildings: how many, by label value.
        area_m2: their areas on the ellipsoid, by label value.
    """

    district: District | None
    buildings: tuple[int, ...]
    area_m2: tuple[float, ...]


@dataclass(frozen=True)
class DistrictLimits:
    """What layers are served: at most so many districts, and bytes of text."""

    districts: int
    size: int


def read_districts(data: bytes | memoryview, limits: DistrictLimits) -> tuple[District, ...]:
    """Return the districts of a layer.

    Args:
        data: GeoJSON.
        limits: what sizes are served.

    Raises:
        DistrictsInvalid: not GeoJSON, not polygons, not on Earth; `pointer` says where.
        DistrictsTooLarge: more districts or bytes than `limits` has.
    """
    if len(data) > limits.size:
        raise DistrictsTooLarge(f"The districts may have {limits.size:,} bytes.", limit=limits.size)
    with answering(_COLLECTION, DistrictsInvalid):
        layer = json.loads(bytes(data))
    features = layer.get("features") if isinstance(layer, dict) else None
    if not (isinstance(features, list) and layer.get("type") == "FeatureCollection"):
        raise DistrictsInvalid(_COLLECTION)
    if not features:
        raise DistrictsInvalid("The districts are an empty collection.", pointer="/features")
    if len(features) > limits.districts:
        raise DistrictsTooLarge(
            f"There are {len(features):,} districts; {limits.districts:,} are served.", limit=limits.districts
        )
    crs = _crs(layer.get("crs"))
    return tuple(_district(number, feature, crs) for number, feature in enumerate(features))


def count_districts(
    buildings: Sequence[Region], grid: GeoGrid, districts: Sequence[District], classes: int
) -> list[DistrictCount]:
    """Return what stands in each district, in their order, and last what stands in none.

    A building stands where one point inside it does, `representative_point`. In districts that overlap it counts in
    each; one that stands on the border of several and inside of none counts in the first of them.

    Args:
        buildings: on `grid`, label values below `classes`.
        grid: of the pre-disaster image.
        districts: what `read_districts` returned.
        classes: number of label values, the background's included.
    """
    counts = np.zeros((len(districts) + 1, classes), np.int64)
    areas = np.zeros((len(districts) + 1, classes))
    if buildings:
        which, where = _stands(buildings, grid, districts)
        values = np.array([building.value for building in buildings])[which]
        np.add.at(counts, (where, values), 1)
        np.add.at(areas, (where, values), np.array(building_areas(buildings, grid))[which])
    return [
        DistrictCount(district, tuple(count), tuple(area))
        for district, count, area in zip([*districts, None], counts.tolist(), areas.tolist(), strict=True)
    ]


def _stands(buildings: Sequence[Region], grid: GeoGrid, districts: Sequence[District]) -> tuple[Int64, Int64]:
    """Return pairs of a building's and a district's number; the latter is that of the last and one more for none."""
    inside = shapely.point_on_surface(np.array(outlines(buildings), object))
    points = np.array(shapely.points(grid.to_lon_lat(shapely.get_coordinates(inside))), object)
    shapes = np.array([district.shape for district in districts], object)
    which, where = STRtree(shapes).query(points, predicate="intersects")
    within = shapely.contains_properly(shapes[where], points[which])
    # On borders alone: once, in the first district they are of.
    order = np.lexsort((where, which))
    on_border = ~np.isin(which, which[within])
    first = np.zeros(len(which), np.bool_)
    first[order[np.unique(which[order], return_index=True)[1]]] = True
    kept = within | (on_border & first)
    outside = np.setdiff1d(np.arange(len(buildings)), which)
    return (
        np.concatenate([which[kept], outside]),
        np.concatenate([where[kept], np.full(len(outside), len(districts))]),
    )


def _district(number: int, feature: Any, crs: CRS | None) -> District:
    pointer = f"/features/{number}"
    with answering("A district is not a GeoJSON feature with a polygon.", DistrictsInvalid, pointer):
        geometry = feature["geometry"]
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise DistrictsInvalid("A district is something other than a polygon.", pointer=pointer)
        polygon = shapely.force_2d(shape(geometry))
        properties = feature.get("properties") or {}
        name, identity = properties.get("name"), feature.get("id")
    if crs is not None:
        polygon = shapely.transform(polygon, lambda points: transformed(crs, lon_lat_crs(), points))
    west, south, east, north = polygon.bounds
    if not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
        raise DistrictsInvalid(
            "A district is empty, or lies beyond the longitudes and latitudes of WGS 84.", pointer=pointer
        )
    if not polygon.is_valid:
        raise DistrictsInvalid("A district's outline crosses itself.", pointer=pointer)
    return District(
        identity if isinstance(identity, str | int) else number, name if isinstance(name, str) else None, polygon
    )


def _crs(member: Any) -> CRS | None:
    """Return the coordinate reference system that a collection names; None: WGS 84."""
    if member is None:
        return None
    with answering("The districts' crs is not a name of EPSG's.", DistrictsInvalid, "/crs"):
        from rasterio.crs import CRS

        name = member["properties"]["name"]
        if _CRS84.fullmatch(name):
            return None
        # By number alone: GDAL would also take the path or the address of a file.
        code = int(_EPSG.fullmatch(name)[1])  # type: ignore[index]
        with contained():
            return CRS.from_epsg(code)
