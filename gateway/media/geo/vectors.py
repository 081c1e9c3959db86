"""Buildings of a label map as polygons on the map.

`Region` has rings through the centres of its border pixels, counted from 0. Here a building reaches to the outer edges
of these pixels, in pixel coordinates of `georeference`: its rings are moved half a pixel to the centres and grown by
about half a pixel, so that it covers as much as its pixels do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from gateway.media.geo.georeference import GeoGrid
from gateway.vision.regions import Region, Ring

_HALF = 0.5
# By how much outlines are grown at least and at most, how often that is measured anew, and how far in pixels it may be
# off: along a building of 50 pixels a percent or two.
_NARROWEST, _WIDEST, _STEPS, _CLOSE = 0.2, 0.8, 3, 0.01
# Beyond this ratio of a corner's reach to the growth it is cut off: a right angle has 1.41 and keeps its corner.
_MITRE_LIMIT = 1.5


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


def lon_lat_outlines(outlines: Sequence[BaseGeometry] | npt.NDArray[np.object_], grid: GeoGrid) -> list[BaseGeometry]:
    """Return polygons in pixel coordinates as longitudes and latitudes, cut where they cross the antimeridian."""
    if not len(outlines):
        return []
    moved = shapely.transform(np.array(outlines, object), grid.to_lon_lat)
    return [_cut(geometry) for geometry in moved]


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
    # What only touches the antimeridian leaves lines on its other side, beside the polygons that may lie there too.
    parts = shapely.get_parts(shapely.get_parts([west_of_it, east_of_it]))
    return shapely.union_all([part for part in parts if part.area])
