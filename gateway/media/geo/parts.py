"""The part of an image that a request is about: what a box in degrees has of it, or the grid of another image.

Of a file as large as a country no more is bounded, looked for or fetched than that.
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import shapely
from affine import Affine
from shapely import Polygon

from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.reading import Box

Part = tuple[slice, slice]
"""Rows and columns of an image."""

NOTHING: Part = (slice(0, 0), slice(0, 0))

SLACK = 0.01
"""Of a pixel: so much of one more is none."""

# Pixels of the image before the disaster: the largest shift that is found, and what pixels are mixed from.
_FARTHEST = 136
# Of an image's side: by how much it may be bent between the points of its outline, and steps along it in which a box
# is followed, whose sides may be bent in another coordinate reference system.
_BULGE, _STEPS = 0.002, 64


def overlap(grid: GeoGrid, other: GeoGrid) -> Polygon:
    """Return what another grid covers of one, in pixel coordinates of the latter; empty where nothing."""
    outline = grid.from_lon_lat(other.footprint)
    if not np.isfinite(outline).all():
        return Polygon()
    frame = Polygon([(0, 0), (0, grid.height), (grid.width, grid.height), (grid.width, 0)])
    common = frame.intersection(Polygon(outline).buffer(0))
    return common if isinstance(common, Polygon) else Polygon()


def in_box(grid: GeoGrid, box: Box) -> Part:
    """Return the pixels of an image that a box has something of; `NOTHING` where it lies elsewhere."""
    west, south, east, north = box
    east += 360 * (east < west)
    outline = Polygon(grid.footprint)
    length = outline.length / 4
    turns = shapely.union_all([shapely.box(west + turn, south, east + turn, north) for turn in (-360, 0, 360)])
    # Cut in degrees: what lies far from an image may be anywhere in its reference system.
    common = outline.buffer(length * _BULGE).intersection(turns)
    places = grid.from_lon_lat(shapely.get_coordinates(shapely.segmentize(common, length / _STEPS)))
    places = places[np.isfinite(places).all(axis=1)].clip(0, (grid.width, grid.height))
    if not len(places):
        return NOTHING
    (left, top), (right, bottom) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    rows, columns = _between(top, bottom), _between(left, right)
    return NOTHING if rows.stop <= rows.start or columns.stop <= columns.start else (rows, columns)


def under(grid: GeoGrid, other: GeoGrid) -> Part:
    """Return the pixels of an image that another one covers; `NOTHING` where it lies elsewhere."""
    covered = overlap(grid, other)
    if covered.is_empty:
        return NOTHING
    left, top, right, bottom = covered.bounds
    return _between(top, bottom), _between(left, right)


def reached(grid: GeoGrid, by: GeoGrid) -> Part:
    """Return the pixels of an image that may come to lie under another one, however a shift between them is undone."""
    return around(grid, by, _FARTHEST)


def around(grid: GeoGrid, other: GeoGrid, pixels: float) -> Part:
    """Return the pixels of an image that another one covers, or that lie so many of the other's pixels beside it."""
    steps = max(other.gsd) / min(grid.gsd)
    beside = ceil(pixels * steps) if np.isfinite(steps) else max(grid.width, grid.height)
    part = under(grid, other)
    return part if part == NOTHING else widened(part, beside, grid)


def widened(part: Part, beside: int, grid: GeoGrid) -> Part:
    """Return a part of an image with so many pixels around it, as far as there are."""
    rows, columns = part
    return (
        slice(max(0, rows.start - beside), min(grid.height, rows.stop + beside)),
        slice(max(0, columns.start - beside), min(grid.width, columns.stop + beside)),
    )


def part_of(grid: GeoGrid, part: Part) -> GeoGrid:
    """Return where a part of an image lies."""
    rows, columns = part
    affine = grid.affine @ Affine.translation(columns.start, rows.start)
    return GeoGrid(grid.crs, affine, columns.stop - columns.start, rows.stop - rows.start)


def _between(start: float, stop: float) -> slice:
    return slice(floor(start + SLACK), ceil(stop - SLACK))
