"""Footprints of buildings that a caller knows, on the grid of an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely

from gateway.errors import FootprintsInvalid, FootprintsTooLarge
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.polygons import PolygonKind, SentPolygon, Shapes, read_polygons
from gateway.vision.spans import Outlines

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]

# Points, rings and features: some ten for each footprint of those that are served.
_MOST_LISTS = 1 << 21
# Of a pixel: by how much the way to degrees and back, to the centimetre, makes a footprint larger.
_LITTLE = 0.05


@dataclass(frozen=True)
class FootprintLimits:
    """Which collections are served: at most so many footprints, and bytes of text."""

    footprints: int
    size: int


@dataclass(frozen=True, eq=False)
class Footprints:
    """Footprints in the order in which they were sent.

    Attributes:
        sent: each as it was sent, perhaps repaired.
        shapes: polygons in pixels of the image, of `georeference`; empty where its reference system has no such place.
        height: of the image.
        width: of the image.
        notices: what the caller should know of how they were read.
    """

    sent: tuple[SentPolygon, ...]
    shapes: Shapes
    height: int
    width: int
    notices: tuple[str, ...]

    @cached_property
    def outlines(self) -> Outlines:
        """Their edges on the image."""
        parts, of_part = shapely.get_parts(self.shapes, return_index=True)
        rings, of_ring = shapely.get_rings(parts, return_index=True)
        points, of_point = shapely.get_coordinates(rings, return_index=True)
        joined = of_point[1:] == of_point[:-1]
        edges = np.concatenate([points[:-1], points[1:]], axis=1)[joined]
        return Outlines(edges, of_part[of_ring[of_point[:-1][joined]]], self.height, self.width)

    @cached_property
    def boxes(self) -> Int32:
        """Around the part of each that is in the image, int32 (n, 4), whole pixels; all 0 where none is."""
        x0, y0, x1, y1 = np.nan_to_num(shapely.bounds(self.shapes), nan=-1.0).T
        sides = (np.floor(x0 + _LITTLE), np.floor(y0 + _LITTLE), np.ceil(x1 - _LITTLE), np.ceil(y1 - _LITTLE))
        most = (self.width, self.height) * 2
        boxes = np.stack([side.clip(0, end) for side, end in zip(sides, most, strict=True)], axis=1)
        boxes[(boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])] = 0
        return boxes.astype(np.int32)

    @cached_property
    def shares_within(self) -> Float64:
        """Of the area of each what is in the image, float64 (n,), 0–1."""
        whole = shapely.area(self.shapes)
        x0, y0, x1, y1 = shapely.bounds(self.shapes).T
        beyond = np.flatnonzero(~((x0 >= 0) & (y0 >= 0) & (x1 <= self.width) & (y1 <= self.height)))
        shares = np.ones(len(whole))
        inside = shapely.area(shapely.clip_by_rect(self.shapes[beyond], 0, 0, self.width, self.height))
        shares[beyond] = inside / np.maximum(whole[beyond], np.finfo(float).tiny)
        return shares.clip(0, 1)


def read_footprints(
    data: bytes | memoryview, limits: FootprintLimits, height: int, width: int, grid: GeoGrid | None
) -> Footprints:
    """Return the footprints of a collection; see `read_polygons`.

    Args:
        data: GeoJSON.
        limits: what sizes are served.
        height: of the image, in pixels.
        width: of the image, in pixels.
        grid: where it lies; None: nobody knows, and coordinates are pixels.

    Raises:
        FootprintsInvalid: not GeoJSON, not polygons, not on Earth or no pixels, none with an area.
        FootprintsTooLarge: more of them than `limits` has, or outlines that cross more rows than the image has pixels.
    """
    kind = PolygonKind(
        "footprint", FootprintsInvalid, FootprintsTooLarge, limits.footprints, limits.size, lists=_MOST_LISTS
    )
    read = read_polygons(data, kind, on_earth=grid is not None)
    shapes = np.array([one.shape for one in read.polygons], object)
    if grid is not None:
        shapes = shapely.transform(shapes, grid.from_lon_lat)
        shapes[~np.isfinite(shapely.bounds(shapes)).all(axis=1)] = shapely.Polygon()
    found = Footprints(read.polygons, shapes, height, width, read.notices)
    if found.outlines.crossings > height * width:
        raise FootprintsTooLarge(
            "The outlines of the footprints cross the rows of the image more often than it has pixels.",
            limit=height * width,
        )
    return found
