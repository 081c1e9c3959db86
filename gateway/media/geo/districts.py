"""Districts of a map, how many buildings of each class stand in each, and how much of each was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from gateway.errors import DistrictsInvalid, DistrictsTooLarge
from gateway.media.gdal import contained
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.polygons import PolygonKind, read_polygons
from gateway.media.geo.vectors import building_areas, outlines
from gateway.vision.regions import Region

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Where layers of administration have names: by their makers' habit, the finest level first.
_NAMES = (
    *(
        "name",
        "shapename",
        *(f"adm{level}_{language}" for level in range(5, -1, -1) for language in ("en", "fr", "es")),
    ),
    *(f"name_{level}" for level in range(5, -1, -1)),
)


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
    kind = PolygonKind("district", DistrictsInvalid, DistrictsTooLarge, limits.districts, limits.size)
    read = read_polygons(data, kind)
    districts = tuple(District(one.id, _name(one.properties, name), one.shape) for one in read.polygons)
    said = read.notices
    if name is not None and all(district.name is None for district in districts):
        said = (*said, "no district has a property of the name that was asked for")
    return DistrictLayer(districts, said)


@dataclass(frozen=True, eq=False)
class Standing:
    """Where buildings stand.

    Attributes:
        points: float64 (n, 2), longitude and latitude of a point inside each.
        values: int64 (n,), label values.
        areas_m2: float64 (n,), on the ellipsoid.
    """

    points: Float64
    values: Int64
    areas_m2: Float64

    @classmethod
    def of_regions(cls, buildings: Sequence[Region], grid: GeoGrid) -> Standing:
        """Return where regions of a label map on `grid` stand."""
        values = np.array([building.value for building in buildings], np.int64)
        if not buildings:
            return cls(np.empty((0, 2)), values, np.empty(0))
        inside = shapely.point_on_surface(np.array(outlines(buildings), object))
        points = grid.to_lon_lat(shapely.get_coordinates(inside))
        return cls(points, values, np.array(building_areas(buildings, grid)))


def count_districts(
    buildings: Standing,
    grid: GeoGrid,
    districts: Sequence[District],
    classes: int,
    observed: ObservedCells | None = None,
) -> list[DistrictCount]:
    """Return what stands in each district, in their order, and last what stands in none.

    A building stands where one point inside it does. In districts that overlap it counts in each; one that stands on
    the border of several and inside of none counts in the first of them.

    Args:
        buildings: label values below `classes`.
        grid: of the pre-disaster image.
        districts: what `read_districts` returned.
        classes: number of label values, the background's included.
        observed: of `grid`; None: how much of a district was observed is not told.
    """
    counts = np.zeros((len(districts) + 1, classes), np.int64)
    areas = np.zeros((len(districts) + 1, classes))
    which, where = _stands(buildings, districts)
    np.add.at(counts, (where, buildings.values[which]), 1)
    np.add.at(areas, (where, buildings.values[which]), buildings.areas_m2[which])
    shares = [None if observed is None else _observed_share(district, grid, observed) for district in districts]
    return [
        DistrictCount(district, tuple(count), tuple(area), share)
        for district, count, area, share in zip(
            [*districts, None], counts.tolist(), areas.tolist(), [*shares, None], strict=True
        )
    ]


def districts_of(buildings: Standing, districts: Sequence[District]) -> list[District | None]:
    """Return which district each building stands in, the first of several; None: in none. See `count_districts`."""
    found: list[District | None] = [None] * len(buildings.values)
    pairs = sorted(zip(*(side.tolist() for side in _stands(buildings, districts)), strict=True), reverse=True)
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


def _stands(buildings: Standing, districts: Sequence[District]) -> tuple[Int64, Int64]:
    """Return pairs of a building's and a district's number; the latter is that of the last and one more for none."""
    points = np.array(shapely.points(buildings.points), object)
    shapes = np.array([district.shape for district in districts], object)
    which, where = STRtree(shapes).query(points, predicate="intersects")
    within = shapely.contains_properly(shapes[where], points[which])
    # On borders alone: once, in the first district they are of.
    order = np.lexsort((where, which))
    on_border = ~np.isin(which, which[within])
    first = np.zeros(len(which), np.bool_)
    first[order[np.unique(which[order], return_index=True)[1]]] = True
    kept = within | (on_border & first)
    outside = np.setdiff1d(np.arange(len(points)), which)
    return (
        np.concatenate([which[kept], outside]),
        np.concatenate([where[kept], np.full(len(outside), len(districts))]),
    )


def _name(properties: Mapping[str, Any], wanted: str | None) -> str | None:
    """Return a district's name, which may be a number."""
    if wanted is not None:
        value = properties.get(wanted)
    else:
        lower = {key.lower(): value for key, value in reversed(list(properties.items()))}
        value = next((lower[key] for key in _NAMES if lower.get(key) is not None), None)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
