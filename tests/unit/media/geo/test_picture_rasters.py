"""Pictures in memory as rasters, and moved by parts of a pixel."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.media.geo.picture_rasters import Picture, shifted
from gateway.media.pictures.images import DecodedImage
from tests.support.geotiffs import smooth, whole


def test_a_decoded_picture_is_a_raster_too() -> None:
    pixels = smooth(64, 80)
    raster = Picture.of(DecodedImage(pixels, ("alpha channel dropped",)))
    read, observed = raster.read(slice(3, 10), slice(70, 80))
    assert (read == pixels[3:10, 70:80]).all()
    assert observed.all()
    assert observed.shape == (7, 10)
    assert (raster.info.width, raster.info.height, raster.info.grid) == (80, 64, None)
    assert raster.info.notices == ("alpha channel dropped",)


@pytest.mark.parametrize("shift", [(3.0, -2.0), (0.0, 5.0), (-1.0, 0.0)])
def test_what_the_other_has_at_a_pixel_the_picture_has_farther_by_the_shift(shift: tuple[float, float]) -> None:
    dx, dy = map(int, shift)
    pixels = np.random.default_rng(0).integers(1, 256, (40, 50, 3), np.uint8)
    moved, seen = whole(shifted(Picture(pixels, np.ones((40, 50), np.bool_)), shift))
    y, x = np.nonzero(seen)
    np.testing.assert_array_equal(moved[y, x], pixels[y + dy, x + dx])
    assert np.count_nonzero(seen) == (40 - abs(dy)) * (50 - abs(dx))
    assert not moved[~seen].any()


def test_half_a_pixel_lies_between_two_and_nothing_is_mixed_with_what_was_not_observed() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, 4:] = 100
    observed = np.ones((8, 8), np.bool_)
    observed[:, 0] = False
    moved, seen = whole(shifted(Picture(pixels, observed), (0.5, 0.0)))
    assert moved[4, 3, 0] == 50
    np.testing.assert_array_equal(seen[4], [False, True, True, True, True, True, True, False])
