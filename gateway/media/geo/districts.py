"""Districts of a map, how many buildings of each class stand in each, and how much of each was observed.

Districts are a GeoJSON feature collection of polygons in WGS 84. An older collection may name another coordinate
reference system by its EPSG code, in the member ``crs`` of GeoJSON 2008.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree
from shapely.affinity import translate
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
# Points, rings and features.
_MOST_LISTS = 1 << 20
# Where layers of administration have names: by their makers' habit, the finest level first.
_NAMES = (
    *(
        "name",
        "shapename",
        *(f"adm{level}_{language}" for level in range(5, -1, -1) for language in ("en", "fr", "es")),
    ),
    *(f"name_{level}" for level in range(5, -1, -1)),
)
# A centimetre or ten: what rounding and reprojecting put beyond the edge of the Earth.
_BEYOND = 1e-6
_COLLECTION = "The districts are not a GeoJSON feature collection."


@dataclass(frozen=True)
class District:
    """One polygon of the layer.

    Attributes:
        id: the feature's, as it has it; else its number from 0.
        name: its property of that name, or what makers of such layers call it; None where it has none.
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
        observed_share: of the district's own area, what was observed, 0–1; None: of no district, or nobody asks.
    """

    district: District | None
    buildings: tuple[int, ...]
    area_m2: tuple[float, ...]
    observed_share: float | None = None


@dataclass(frozen=True)
class DistrictLayer:
    """The districts of a layer, in its order, and what the caller should know of how they were read."""

    districts: tuple[District, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ObservedCells:
    """How much of a scene was observed.

    Attributes:
        side: of a cell, in pixels.
        seen: int64 (rows, columns): pixels observed in each cell.
    """

    side: int
    seen: Int64


@dataclass(frozen=True)
class DistrictLimits:
    """What layers are served: at most so many districts, and bytes of text."""

    districts: int
    size: int


def read_districts(data: bytes | memoryview, limits: DistrictLimits, name: str | None = None) -> DistrictLayer:
    """Return the districts of a layer; outlines that cross themselves are repaired, features without any left out.

    Args:
        data: GeoJSON.
        limits: what sizes are served.
        name: property that is a district's name; None: one of the usual.

    Raises:
        DistrictsInvalid: not GeoJSON, not polygons, not on Earth, none with an area; `pointer` says where.
        DistrictsTooLarge: more districts or bytes than `limits` has.
    """
    if len(data) > limits.size:
        raise DistrictsTooLarge(f"The districts may have {limits.size:,} bytes.", limit=limits.size)
    text = bytes(data)
    if text.count(b"[") + text.count(b"{") > _MOST_LISTS:
        # Each takes three bytes of text and 64 of memory, empty ones too.
        raise DistrictsTooLarge(f"The districts may have {_MOST_LISTS:,} points in all.", limit=_MOST_LISTS)
    with answering(_COLLECTION, DistrictsInvalid):
        layer = json.loads(text)
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
    found = [_district(number, feature, crs, name) for number, feature in enumerate(features)]
    districts = [district for district, _ in filter(None, found)]
    if not districts:
        raise DistrictsInvalid("None of the districts has an area.", pointer="/features")
    said = []
    if lacking := len(found) - len(districts):
        said.append(f"{lacking} districts without an area are left out")
    if repaired := sum(repaired for _, repaired in filter(None, found)):
        said.append(f"{repaired} districts whose outlines cross themselves were repaired")
    if name is not None and all(district.name is None for district in districts):
        said.append("no district has a property of the name that was asked for")
    return DistrictLayer(tuple(districts), tuple(said))


def count_districts(
    buildings: Sequence[Region],
    grid: GeoGrid,
    districts: Sequence[District],
    classes: int,
    observed: ObservedCells | None = None,
) -> list[DistrictCount]:
    """Return what stands in each district, in their order, and last what stands in none.

    A building stands where one point inside it does, `representative_point`. In districts that overlap it counts in
    each; one that stands on the border of several and inside of none counts in the first of them.

    Args:
        buildings: on `grid`, label values below `classes`.
        grid: of the pre-disaster image.
        districts: what `read_districts` returned.
        classes: number of label values, the background's included.
        observed: of `grid`; None: how much of a district was observed is not told.
    """
    counts = np.zeros((len(districts) + 1, classes), np.int64)
    areas = np.zeros((len(districts) + 1, classes))
    if buildings:
        which, where = _stands(buildings, grid, districts)
        values = np.array([building.value for building in buildings])[which]
        np.add.at(counts, (where, values), 1)
        np.add.at(areas, (where, values), np.array(building_areas(buildings, grid))[which])
    shares = [None if observed is None else _observed_share(district, grid, observed) for district in districts]
    return [
        DistrictCount(district, tuple(count), tuple(area), share)
        for district, count, area, share in zip(
            [*districts, None], counts.tolist(), areas.tolist(), [*shares, None], strict=True
        )
    ]


def districts_of(buildings: Sequence[Region], grid: GeoGrid, districts: Sequence[District]) -> list[District | None]:
    """Return which district each building stands in, the first of several; None: in none. See `count_districts`."""
    found: list[District | None] = [None] * len(buildings)
    if buildings:
        pairs = sorted(zip(*(side.tolist() for side in _stands(buildings, grid, districts)), strict=True), reverse=True)
        for building, district in pairs:
            found[building] = districts[district] if district < len(districts) else None
    return found


def meeting(districts: Sequence[District], grid: GeoGrid) -> bool:
    """Return whether any of the districts has ground in common with a grid."""
    scene = _footprint(grid)
    return any(not _within(district, scene).is_empty for district in districts)


def _footprint(grid: GeoGrid) -> BaseGeometry:
    """Return where a grid lies in longitude and latitude, in every turn of the Earth that it may be counted in."""
    outline = shapely.Polygon(grid.footprint).buffer(0)
    return shapely.union_all([translate(outline, xoff=turn) for turn in (-360, 0, 360)])


def _within(district: District, scene: BaseGeometry) -> BaseGeometry:
    return district.shape.intersection(scene)


def _observed_share(district: District, grid: GeoGrid, observed: ObservedCells) -> float:
    """Return how much of a district's area was observed, 0–1, to the size of the cells."""
    from rasterio.features import rasterize

    part = _within(district, _footprint(grid))
    if not part.area:
        return 0.0
    cells = shapely.transform(part, lambda places: grid.from_lon_lat(places) / observed.side)
    rows, columns = observed.seen.shape
    with contained():
        inside = rasterize([cells], out_shape=(rows, columns), dtype="uint8") > 0
    if not inside.any():
        # Smaller than a cell.
        x, y = shapely.get_coordinates(cells.representative_point())[0].astype(int).tolist()
        inside[min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)] = True
    y, x = np.nonzero(inside)
    across = np.minimum(observed.side, grid.width - x * observed.side)
    down = np.minimum(observed.side, grid.height - y * observed.side)
    share = observed.seen[y, x].sum() / (across * down).sum()
    # Latitudes differ little within a scene's part of a district: its share of the whole is one of areas in metres.
    return float(share * min(1.0, grid.plane_area(part) / grid.plane_area(district.shape)))


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


def _district(number: int, feature: Any, crs: CRS | None, name: str | None) -> tuple[District, bool] | None:
    """Return a district, and whether its outline was repaired; None: it has no area."""
    pointer = f"/features/{number}"
    with answering("A district is not a GeoJSON feature with a polygon.", DistrictsInvalid, pointer):
        geometry = feature["geometry"]
        if geometry is None:
            return None
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise DistrictsInvalid("A district is something other than a polygon.", pointer=pointer)
        polygon = shapely.force_2d(shape(geometry))
        called = _name(feature.get("properties") or {}, name)
        identity = feature.get("id")
    if crs is not None:
        polygon = shapely.transform(polygon, lambda points: transformed(crs, lon_lat_crs(), points))
    if polygon.is_empty:
        return None
    polygon = shapely.transform(polygon, _on_earth)
    west, south, east, north = polygon.bounds
    if not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
        raise DistrictsInvalid(
            "A district lies beyond the longitudes and latitudes of WGS 84; GeoJSON has longitude before latitude.",
            pointer=pointer,
        )
    repaired = not polygon.is_valid
    if repaired:
        polygon = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    if not polygon.area:
        return None
    known = identity if isinstance(identity, str | int) else number
    return District(known, called, polygon), repaired


def _on_earth(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return longitudes and latitudes with what is beyond the edge by no more than rounding brought onto it."""
    edge = np.array([180.0, 90.0])
    clipped: npt.NDArray[np.float64] = np.where(np.abs(places) <= edge + _BEYOND, np.clip(places, -edge, edge), places)
    return clipped


def _name(properties: Mapping[str, Any], wanted: str | None) -> str | None:
    """Return a district's name, which may be a number."""
    if wanted is not None:
        value = properties.get(wanted)
    else:
        lower = {key.lower(): value for key, value in reversed(list(properties.items()))}
        value = next((lower[key] for key in _NAMES if lower.get(key) is not None), None)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


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
