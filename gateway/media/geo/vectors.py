"""Buildings as polygons on the map: GeoJSON of RFC 7946.

`Region` has rings through the centres of its border pixels, counted from 0. Here a building reaches to the outer edges
of these pixels, in pixel coordinates of `georeference`: its rings are moved half a pixel to the centres and grown by
about half a pixel, so that it covers as much as its pixels do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.affinity import translate
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from gateway.media.geo.georeference import GeoGrid
from gateway.vision.regions import Region, Ring

_HALF = 0.5
# By how much outlines are grown at least and at most, how often that is measured anew, and how far in pixels it may be
# off: along a building of 50 pixels a percent or two.
_NARROWEST, _WIDEST, _STEPS, _CLOSE = 0.2, 0.8, 3, 0.01
# Beyond this ratio of a corner's reach to the growth it is cut off: a right angle has 1.41 and keeps its corner.
_MITRE_LIMIT = 1.5
# A centimetre.
_DEGREE_DIGITS = 7
_BATCH = 512


def outlines(buildings: Sequence[Region]) -> list[BaseGeometry]:
    """Return the polygon of each building, its holes cut out, in pixel coordinates of `georeference`."""
    if not buildings:
        return []
    centres = np.array([_through_centres(building.polygon) for building in buildings], object)
    pixels = np.array([building.area for building in buildings], np.float64)
    width = np.full(len(buildings), _HALF)
    for _ in range(_STEPS):
        shapes = _grown(centres, width)
        for shape, building in enumerate(buildings):
            if building.holes:
                holes = np.array([_through_centres(hole) for hole in building.holes], object)
                shapes[shape] = shapes[shape].difference(shapely.union_all(_grown(holes, -_HALF)))
        off = (shapely.area(shapes) - pixels) / shapely.length(shapely.boundary(shapes))
        # Half a pixel is right along rows and columns; of what runs aslant, border pixels reach less far.
        step = np.where(np.abs(off) > _CLOSE, off, 0)
        if not step.any():
            break
        width = np.clip(width - step, _NARROWEST, _WIDEST)
    return list(shapes)


def building_areas(buildings: Sequence[Region], grid: GeoGrid) -> list[float]:
    """Return what each building covers, m² on the ellipsoid: its pixels times the area of one where it stands."""
    if not buildings:
        return []
    middles = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in (building.box for building in buildings)]
    pixels = np.array([building.area for building in buildings], np.float64)
    areas: list[float] = (pixels * grid.pixel_areas(middles)).tolist()
    return areas


def lon_lat_outlines(outlines: Sequence[BaseGeometry], grid: GeoGrid) -> list[BaseGeometry]:
    """Return polygons in pixel coordinates as longitudes and latitudes, cut where they cross the antimeridian."""
    moved = shapely.transform(np.array(outlines, object), grid.to_lon_lat)
    return [_cut(geometry) for geometry in moved]


def feature_collection(
    buildings: Iterable[Region],
    grid: GeoGrid,
    names: Sequence[str],
    members: Mapping[str, Any],
    more: Iterable[Mapping[str, Any]] = repeat({}),
) -> Iterator[bytes]:
    """Yield the pieces of a GeoJSON feature collection, one feature per building.

    A feature's id is its number from 1; its properties are class, value, confidence (null: not asked for), area_m2 and
    pixels.

    Args:
        buildings: on `grid`.
        grid: of the pre-disaster image.
        names: of the classes, by label value.
        members: what else the collection says, by name of the member; JSON values.
        more: what else is said of each building, by name of the property.
    """
    head = {"type": "FeatureCollection", **members}
    yield json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "features": ['
    number = 0
    remaining, properties = iter(buildings), iter(more)
    while batch := list(islice(remaining, _BATCH)):
        shapes = lon_lat_outlines(outlines(batch), grid)
        pieces = []
        for building, shape, area in zip(batch, shapes, building_areas(batch, grid), strict=True):
            number += 1
            feature = {
                "type": "Feature",
                "id": number,
                "geometry": _geometry(shape),
                "properties": {
                    "class": names[building.value],
                    "value": building.value,
                    "confidence": building.confidence,
                    "area_m2": round(area, 2),
                    "pixels": building.area,
                    **next(properties),
                },
            }
            pieces.append((b",\n" if number > 1 else b"\n") + json.dumps(feature, ensure_ascii=False).encode())
        yield b"".join(pieces)
    yield b"\n]}\n"


def _through_centres(ring: Ring) -> BaseGeometry:
    """Return what a ring of a region goes round, moved to the centres of its pixels."""
    centres = np.array(ring) + _HALF
    if len(centres) == 1:
        return shapely.Point(centres[0])
    if len(centres) == 2:
        return shapely.LineString(centres)
    polygon = shapely.Polygon(centres)
    if polygon.is_valid:
        return polygon
    # Simplified rings may cross themselves, and where a region is a pixel wide they lie on themselves.
    area = shapely.make_valid(polygon, method="structure")
    return shapely.GeometryCollection([area, polygon.exterior])


def _grown(shapes: npt.NDArray[np.object_], width: float | npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    """Return shapes with a margin of `width`, and corners that stay corners."""
    grown: npt.NDArray[np.object_] = shapely.buffer(
        shapes, width, cap_style="square", join_style="mitre", mitre_limit=_MITRE_LIMIT
    )
    return grown


def _cut(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry of longitudes from −180 to 180, cut in two where it crosses the antimeridian."""
    west, _, east, _ = geometry.bounds
    if east - west <= 180:
        return geometry
    whole = shapely.transform(geometry, lambda places: places + np.where(places[:, :1] < 0, (360, 0), (0, 0)))
    west_of_it = whole.intersection(shapely.box(0, -90, 180, 90))
    east_of_it = translate(whole.intersection(shapely.box(180, -90, 360, 90)), xoff=-360)
    # What only touches the antimeridian leaves a line on its other side.
    return shapely.union_all([part for part in (west_of_it, east_of_it) if part.area])


def _geometry(geometry: BaseGeometry) -> dict[str, Any]:
    """Return a geometry as GeoJSON: exterior rings against the clock, holes with it, to the centimetre."""
    rounded = shapely.transform(shapely.orient_polygons(geometry), lambda places: np.round(places, _DEGREE_DIGITS))
    return dict(mapping(rounded))
