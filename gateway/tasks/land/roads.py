"""How long the roads of a label map are, near what buildings, and in which district.

What is measured is the centre line of what the model took for road, at a metre a pixel: a road under trees or debris is
not seen and so not counted, and one that branches ends half its width early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree

from gateway.errors import FootprintsInvalid, FootprintsTooLarge
from gateway.media.gdal import contained
from gateway.media.geo.districts import District
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.polygons import PolygonKind, read_polygons
from gateway.tasks.land.pipeline import METRES, Land
from gateway.tasks.land.spec import ROAD
from gateway.vision.centrelines import lengths, thinned

Float32 = npt.NDArray[np.float32]
Shapes = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Wanted:
    """Which buildings roads are looked for near to: those of a class, and how near, in metres."""

    name: str
    metres: float


@dataclass(frozen=True, eq=False)
class Marked:
    """The buildings of the class wanted among those that were sent.

    Attributes:
        shapes: polygons in longitude and latitude.
        sent: how many buildings were sent in all.
        notices: what the caller should know of how they were read.
    """

    shapes: Shapes
    sent: int
    notices: tuple[str, ...]


@dataclass(frozen=True)
class RoadLength:
    """Metres of road.

    Attributes:
        district: where; None: in no district, or everywhere.
        metres: of road.
        near: of these, near the buildings that were asked for; None: none were sent.
    """

    district: District | None
    metres: float
    near: float | None


def read_marked(data: bytes | memoryview, most: int, size: int, wanted: Wanted) -> Marked:
    """Return the buildings of the class wanted, of a collection as `POST /v1/damage` answers with.

    Args:
        data: GeoJSON; the property `class` of a feature names its class.
        most: buildings that are served.
        size: bytes that are served.
        wanted: the class.

    Raises:
        FootprintsInvalid: not GeoJSON, not polygons, not on Earth, or without any property `class`.
        FootprintsTooLarge: more buildings or bytes than are served.
    """
    read = read_polygons(data, PolygonKind("building", FootprintsInvalid, FootprintsTooLarge, most, size, 1 << 24))
    classes = [one.properties.get("class") for one in read.polygons]
    if not any(isinstance(each, str) for each in classes):
        raise FootprintsInvalid(
            "No building has a property 'class'; send what POST /v1/damage answers as GeoJSON.", pointer="/features"
        )
    chosen = [one.shape for one, each in zip(read.polygons, classes, strict=True) if each == wanted.name]
    said = read.notices if chosen else (*read.notices, f"none of the buildings sent is of the class {wanted.name!r}")
    return Marked(np.array(chosen, object), len(classes), said)


def measure_roads(
    found: Land, grid: GeoGrid | None, marked: Marked | None, districts: Sequence[District], wanted: Wanted
) -> list[RoadLength]:
    """Return the length of all roads, then of those in each district, in their order, and in none if there are any.

    In districts that overlap a road counts in each.

    Args:
        found: the label map, at a metre a pixel.
        grid: of the image; None: nobody knows, and there are neither buildings nor districts.
        marked: the buildings; None: none were sent.
        districts: perhaps none.
        wanted: how near to the buildings.
    """
    value = next(spec.value for spec in found.model.card.classes if spec.name == ROAD)
    along = lengths(thinned(found.seen == value)) * np.float32(METRES)
    close = None
    if marked is not None and grid is not None:
        close = np.where(_distances(marked.shapes, grid, along.shape) <= wanted.metres, along, np.float32(0))
    total = [_length(None, along, close)]
    if grid is None or not districts:
        return total
    y, x = np.nonzero(along)
    places = grid.to_lon_lat((np.stack([x, y], 1) + 0.5) * _step(grid, along.shape))
    which, where = STRtree(np.array([one.shape for one in districts], object)).query(
        np.array(shapely.points(places), object), predicate="intersects"
    )
    outside = np.setdiff1d(np.arange(len(x)), which)
    within = [which[where == number] for number in range(len(districts))]
    return total + [
        _length(district, along[y[each], x[each]], None if close is None else close[y[each], x[each]])
        for district, each in zip([*districts, None], [*within, outside], strict=True)
    ]


def _length(district: District | None, along: Float32, close: Float32 | None) -> RoadLength:
    return RoadLength(
        district, float(along.sum(dtype=np.float64)), None if close is None else float(close.sum(dtype=np.float64))
    )


def _distances(shapes: Shapes, grid: GeoGrid, size: tuple[int, ...]) -> Float32:
    """Return how far each pixel at a metre a pixel is from the nearest polygon, float32 (h, w), in metres."""
    from rasterio.features import rasterize

    step = _step(grid, size)
    moved = shapely.transform(shapes, lambda places: grid.from_lon_lat(places) / step) if len(shapes) else shapes
    on_grid = [one for one in moved if np.isfinite(shapely.get_coordinates(one)).all()]
    free = np.ones(size, np.uint8)
    if on_grid:
        with contained():
            rasterize(on_grid, out=free, default_value=0, all_touched=True)
    if free.all():
        return np.full(size, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32) * np.float32(METRES)


def _step(grid: GeoGrid, size: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return how many pixels of the image, (x, y), one at a metre a pixel is wide and high."""
    height, width = size
    return np.array([grid.width / width, grid.height / height])
