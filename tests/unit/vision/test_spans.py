from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from gateway.media.gdal import contained
from gateway.media.geo.footprints import Footprints
from gateway.media.geo.polygons import SentPolygon
from gateway.vision import spans as module
from gateway.vision.spans import Outlines

HEIGHT, WIDTH = 60, 80


def outlines(*shapes: Any) -> Outlines:
    sent = tuple(SentPolygon(number, {}, shape) for number, shape in enumerate(shapes))
    return Footprints(sent, np.array(shapes, object), HEIGHT, WIDTH, ()).outlines


def drawn(found: Outlines, count: int, step: int = HEIGHT) -> np.ndarray:
    """Return the pixels of each polygon, bool (n, HEIGHT, WIDTH), spans of `step` rows at a time."""
    masks = np.zeros((count, HEIGHT, WIDTH), np.bool_)
    for top in range(0, HEIGHT, step):
        for spans in found.spans(top, min(top + step, HEIGHT)):
            for polygon, place in spans.pixels(WIDTH, 0):
                assert not masks.reshape(count, -1)[polygon, place].any(), "no pixel twice"
                masks.reshape(count, -1)[polygon, place] = True
    return masks


# Of whole parts of a pixel, halves among them: corners on centres of rows are what goes wrong.
POINTS = st.tuples(st.integers(-60, 220), st.integers(-60, 180)).map(lambda point: (point[0] / 2, point[1] / 2))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(POINTS, min_size=3, max_size=9), min_size=1, max_size=6),
    st.integers(1, HEIGHT),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_a_pixel_is_of_every_polygon_that_its_centre_is_in(corners: list[Any], step: int, at_once: int) -> None:
    shapes = [shapely.make_valid(shapely.Polygon(ring), method="structure", keep_collapsed=False) for ring in corners]
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        masks = drawn(outlines(*shapes), len(shapes), step)
    for mask, shape in zip(masks, shapes, strict=True):
        # Which side of an edge a centre is on that lies on it is for rounding to say.
        sure = shapely.distance(shapely.boundary(shape), shapely.points(x, y)) > 1e-9 if not shape.is_empty else True
        np.testing.assert_array_equal(mask & sure, shapely.contains_xy(shape, x, y) & sure)


def test_gdal_takes_the_same_pixels() -> None:
    ring = shapely.Point(40, 30).buffer(22).difference(shapely.box(30.3, 20.2, 45.1, 33.7))
    parts = shapely.MultiPolygon([shapely.box(2.2, 3.3, 9.7, 9.2), shapely.box(60.7, 40.2, 99, 99)])
    shapes = [ring, parts]
    with contained():
        expected = [rasterize([shape], out_shape=(HEIGHT, WIDTH)).astype(bool) for shape in shapes]
    masks = drawn(outlines(*shapes), 2)
    for mask, one in zip(masks, expected, strict=True):
        np.testing.assert_array_equal(mask, one)


def test_walls_in_common_part_the_pixels() -> None:
    left, right = shapely.box(0, 0, 10.5, 60), shapely.box(10.5, 0, 20, 60)
    masks = drawn(outlines(left, right), 2)
    assert (masks.sum(axis=0)[:, :20] == 1).all()


def test_crossings_are_counted_and_what_lies_beyond_has_none() -> None:
    assert outlines(shapely.box(1, 1, 5, 11)).crossings == 20
    assert outlines(shapely.box(1, -50, 5, 1e9)).crossings == 2 * HEIGHT
    assert outlines(shapely.box(1, 60, 5, 1e9), shapely.Polygon()).crossings == 0
    assert drawn(outlines(shapely.box(-1e12, 10, 1e12, 11)), 1).sum() == WIDTH
