"""Buildings as polygons on the map: GeoJSON of RFC 7946.

`Region` has rings through the centres of its border pixels, counted from 0. Here a building reaches to the outer edges
of these pixels, in pixel coordinates of `georeference`: its rings are moved half a pixel to the centres and grown by
half a pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from gateway.media.georeference import GeoGrid
from gateway.vision.regions import Region

_HALF = 0.5
# Beyond this ratio of a corner's reach to the growth it is cut off: a right angle has 1.41 and keeps its corner.
_MITRE_LIMIT = 1.5
# A centimetre.
_DEGREE_DIGITS = 7
_BATCH = 512


def outlines(buildings: Sequence[Region]) -> list[BaseGeometry]:
    """Return the polygon of each building, its holes cut out, in pixel coordinates of `georeference`."""
    rough = shapely.make_valid(np.array([_through_centres(building) for building in buildings], object))
    grown = shapely.buffer(
        shapely.transform(rough, lambda centres: centres + _HALF),
        _HALF,
        cap_style="square",
        join_style="mitre",
        mitre_limit=_MITRE_LIMIT,
    )
    return list(grown)


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
    buildings: Iterable[Region], grid: GeoGrid, names: Sequence[str], members: Mapping[str, Any]
) -> Iterator[bytes]:
    """Yield the pieces of a GeoJSON feature collection, one feature per building.

    A feature's id is its number from 1; its properties are class, value, confidence (null: not asked for), area_m2 and
    pixels.

    Args:
        buildings: on `grid`.
        grid: of the pre-disaster image.
        names: of the classes, by label value.
        members: what else the collection says, by name of the member; JSON values.
    """
    head = {"type": "FeatureCollection", **members}
    yield json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "features": ['
    number = 0
    remaining = iter(buildings)
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
                },
            }
            pieces.append((b",\n" if number > 1 else b"\n") + json.dumps(feature, ensure_ascii=False).encode())
        yield b"".join(pieces)
    yield b"\n]}\n"


def _through_centres(building: Region) -> BaseGeometry:
    """Return what a region's rings go round, through the centres of its pixels counted from 0."""
    ring = building.polygon
    if len(ring) == 1:
        return shapely.Point(ring[0])
    if len(ring) == 2:
        return shapely.LineString(ring)
    return shapely.Polygon(ring, [hole for hole in building.holes if len(hole) > 2])


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
