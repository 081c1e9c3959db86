"""Parts of images: what a box has of one, and that reading a part is reading what the whole has there."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from shapely.geometry import box as rectangle

from gateway.errors import ParameterInvalid
from gateway.media.geo.alignment import warped
from gateway.media.geo.geotiff import open_geotiff
from gateway.media.geo.parts import NOTHING, Part, in_box, part_of, reached, under
from gateway.media.geo.reading import Box, parse_box
from tests.support.geotiffs import LIMITS, grid, smooth, write

PLACES = {
    "utm": grid(500, 400),
    "turned": grid(
        500, 400, affine=Affine.translation(366_642, 4_104_511) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
    ),
    "degrees": grid(500, 400, "EPSG:4326", Affine(1e-5, 0, -94.5, 0, -1e-5, 37.05)),
    "south up": grid(500, 400, "EPSG:4326", Affine(1e-5, 0, -94.5, 0, 1e-5, 37.05)),
    "polar": grid(500, 400, "EPSG:3413", Affine(10, 0, -200_000, 0, -10, -1_000_000)),
    "antimeridian": grid(500, 400, "EPSG:4326", Affine(1e-3, 0, 179.8, 0, -1e-3, -17)),
    "far east": grid(500, 400, "EPSG:32601", Affine(10, 0, 198_000, 0, -10, 8_100_000)),
}


def turned(longitude: float) -> float:
    return (longitude + 180) % 360 - 180


@pytest.mark.parametrize("where", PLACES)
def test_a_box_has_the_pixels_whose_ground_lies_in_it(where: str) -> None:
    place = PLACES[where]
    y, x = np.mgrid[: place.height, : place.width] + 0.5
    centres = place.to_lon_lat(np.stack([x.ravel(), y.ravel()], 1))
    middle = place.centre
    east = (centres[:, 0] - middle[0] + 180) % 360 - 180
    north = centres[:, 1] - middle[1]
    wide, high = np.ptp(east) / 2, np.ptp(north) / 2
    for left, bottom, right, top in (
        (-0.5, -0.5, 0.5, 0.5),
        (-0.9, -0.1, -0.2, 0.3),
        (-3, -3, 0.1, 0.1),
        (-3, -3, 3, 3),
    ):
        inside = (east > left * wide) & (east < right * wide) & (north > bottom * high) & (north < top * high)
        rows, columns = in_box(
            place,
            (
                turned(middle[0] + left * wide),
                middle[1] + bottom * high,
                turned(middle[0] + right * wide),
                middle[1] + top * high,
            ),
        )
        own_y, own_x = np.nonzero(inside.reshape(place.height, place.width))
        found = np.array([rows.start, rows.stop, columns.start, columns.stop])
        expected = np.array([own_y.min(), own_y.max() + 1, own_x.min(), own_x.max() + 1])
        # Pixels count that the box has a corner of, and of a turned image's outline two thousandths are open.
        assert (np.abs(found - expected) <= 3).all(), (found, expected)
        assert found[0] <= expected[0]
        assert found[2] <= expected[2]
        assert found[1] >= expected[1]
        assert found[3] >= expected[3]


@pytest.mark.parametrize("where", PLACES)
def test_a_box_elsewhere_has_nothing_and_one_around_all_of_it(where: str) -> None:
    place = PLACES[where]
    longitude, latitude = place.centre
    for east, north in ((180.0, 0.0), (60.0, 0.0), (0.0, 20.0), (0.0, -20.0)):
        west = turned(longitude + east - 0.5)
        south = latitude + north - 0.5
        if -90 <= south < 89 and np.hypot(east, north) > 10:
            assert in_box(place, (west, south, turned(west + 1), south + 1)) == NOTHING, (east, north)
    assert in_box(place, (-180, -90, 180, 90)) == (slice(0, 400), slice(0, 500))


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "1,2,1,4", "1,4,3,2", "1,2,3,2", "nan,0,1,1", "0,0,1e999,1"]
)
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="A box is"):
        parse_box(text)


def test_west_is_east_of_east_across_the_antimeridian_alone() -> None:
    crossing: Box = (179.5, -18, -179.5, -17)
    assert parse_box("179.5,-18,-179.5,-17") == crossing
    with pytest.raises(ParameterInvalid, match="west lies east of its east"):
        parse_box("-94.49,37.0,-94.51,37.1")


LAYOUTS = {"strips": {}, "tiles": {"tiled": True, "blockxsize": 64, "blockysize": 64}}
PART: Part = (slice(100, 220), slice(60, 400))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("colour", [0, 255])
def test_a_border_within_a_part_is_that_of_the_whole(layout: str, colour: int) -> None:
    place = grid(500, 400)
    y, x = np.mgrid[:400, :500]
    within = (x + y > 130) & (x - y < 320) & (y < 371)
    pixels = np.where(within[..., None], smooth(400, 500), np.uint8(colour))
    data = write(pixels, place, **LAYOUTS[layout])
    whole, part = open_geotiff(data, LIMITS), open_geotiff(data, LIMITS, parted=lambda _: PART)
    np.testing.assert_array_equal(part.read(*PART)[1], whole.read(*PART)[1])
    np.testing.assert_array_equal(part.read(*PART)[1], within[PART])
    np.testing.assert_array_equal(part.read(*PART)[0], whole.read(*PART)[0])
    own = part_of(place, (slice(110, 210), slice(70, 390)))
    window = slice(0, own.height), slice(0, own.width)
    for one, other in zip(
        *(warped(image, place, own, (0.3, 0.4)).read(*window) for image in (whole, part)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_samples_beside_a_part_count_for_the_stretch_and_the_border_there_does_not() -> None:
    place = grid(1500, 1500)
    y, x = np.mgrid[:1500, :1500]
    within = (x + y > 900) & (x - y < 700)
    pixels = np.where(within[..., None], 5000 + 40 * smooth(1500, 1500).astype(np.uint16), np.uint16(0))
    data, part = write(pixels, place), (slice(900, 1000), slice(600, 700))
    whole, parted = open_geotiff(data, LIMITS), open_geotiff(data, LIMITS, parted=lambda _: part)
    assert parted.samples.low == pytest.approx(whole.samples.low, rel=0.01)
    assert parted.samples.high == pytest.approx(whole.samples.high, rel=0.01)
    np.testing.assert_array_equal(parted.read(*part)[1], whole.read(*part)[1])


def test_what_another_image_covers_may_move_by_the_largest_shift() -> None:
    place, other = grid(2000, 2000), part_of(grid(2000, 2000), (slice(1000, 1100), slice(500, 700)))
    assert under(place, other) == (slice(1000, 1100), slice(500, 700))
    rows, columns = reached(place, other)
    assert rectangle(columns.start, rows.start, columns.stop, rows.stop).contains(rectangle(372, 872, 828, 1228))
    assert rows.stop - rows.start < 400
    assert reached(place, grid(100, 100, affine=Affine(0.5, 0, 400_000, 0, -0.5, 4_200_000))) == NOTHING
