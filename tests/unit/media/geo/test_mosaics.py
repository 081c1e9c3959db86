from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from gateway.errors import GeographyMissing, ImageTooLarge
from gateway.media.geo.alignment import aligned
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.mosaics import Mosaic, brought
from gateway.media.pictures.images import ImageLimits
from tests.support.geotiffs import LIMITS, grid, ground, opened, whole, write

SIDE = 300
PLACE = grid(SIDE, SIDE)


def cut(x: int, y: int, width: int, height: int, place: GeoGrid = PLACE) -> bytes:
    """Return a tile of the ground that `place` shows."""
    pixels = ground(place)[y : y + height, x : x + width]
    return write(pixels, GeoGrid(place.crs, place.affine @ Affine.translation(x, y), width, height))


def mosaic(*tiles: bytes, limits: ImageLimits = LIMITS) -> Mosaic:
    return Mosaic([opened(tile) for tile in tiles], limits)


FOUR = ((0, 0, 160, 160), (140, 0, 160, 160), (0, 150, 160, 150), (140, 150, 160, 150))


@pytest.mark.parametrize("first", range(4))
def test_tiles_of_one_grid_are_read_as_they_are(first: int) -> None:
    found = mosaic(*[cut(*tile) for tile in (*FOUR[first:], *FOUR[:first])])
    assert (found.info.grid, found.info.width, found.info.height) == (PLACE, SIDE, SIDE)
    pixels, seen = whole(found)
    np.testing.assert_array_equal(pixels, ground(PLACE))
    assert seen.all()
    part, _ = found.read(slice(130, 170), slice(137, 300))
    np.testing.assert_array_equal(part, ground(PLACE)[130:170, 137:])
    assert found.info.notices[0] == "4 tiles put together"


def test_between_tiles_nothing_was_observed_and_the_first_counts() -> None:
    lower = write(
        np.full((100, 300, 3), 9, np.uint8), GeoGrid(PLACE.crs, PLACE.affine @ Affine.translation(0, 90), 300, 100)
    )
    pixels, seen = whole(mosaic(cut(0, 0, 100, 100), lower))
    assert (pixels[:100, :100] == ground(PLACE)[:100, :100]).all()
    assert (pixels[100:] == 9).all()
    assert not seen[:90, 100:].any()
    assert not pixels[:90, 100:].any()


def test_what_a_tile_does_not_show_the_next_may() -> None:
    gap = ground(PLACE)[:200].copy()
    gap[50:150, 50:150] = 0
    holey = write(gap, GeoGrid(PLACE.crs, PLACE.affine, SIDE, 200), nodata=0)
    pixels, seen = whole(mosaic(holey, cut(0, 40, 300, 260)))
    assert seen.all()
    np.testing.assert_array_equal(pixels, ground(PLACE))


def test_a_tile_of_another_kind_is_warped_to_the_first() -> None:
    west, north = PLACE.to_lon_lat([(140, 0)])[0].tolist()
    degrees = grid(260, 420, "EPSG:4326", Affine(4e-6, 0, west, 0, -3.5e-6, north))
    found = mosaic(cut(0, 0, 160, 300), write(ground(degrees), degrees))
    assert found.info.grid is not None
    assert found.info.grid.crs == PLACE.crs
    pixels, seen = whole(found)
    assert seen[20:250, 170:280].all()
    left, top = (PLACE.affine.c - found.info.grid.affine.c) / 0.5, (found.info.grid.affine.f - PLACE.affine.f) / 0.5
    x, y = round(left), round(top)
    difference = pixels[y + 20 : y + 250, x + 170 : x + 280].astype(int) - ground(PLACE)[20:250, 170:280]
    assert np.abs(difference).mean() < 3


def test_a_mosaic_is_brought_to_another_grid_as_one_image_is() -> None:
    other = grid(280, 260, affine=PLACE.affine @ Affine.translation(11.3, 7.8) @ Affine.scale(1.05))
    one, several = opened(cut(0, 0, SIDE, SIDE)), mosaic(*[cut(*tile) for tile in FOUR])
    for shift in ((0.0, 0.0), (3.4, -2.2)):
        expected, _ = whole(aligned(one, other, shift))
        found, seen = whole(brought(several, other, shift))
        inside = seen[20:-20, 20:-20]
        assert inside.all()
        difference = np.abs(found.astype(int) - expected)[20:-20, 20:-20]
        # At the edge of a tile the half pixel beyond it is the edge's.
        assert (difference.max() <= 8, difference.mean() < 0.05) == (True, True)


def test_tiles_too_far_apart_are_too_large() -> None:
    away = write(ground(PLACE), GeoGrid(PLACE.crs, PLACE.affine @ Affine.translation(90_000, 0), SIDE, SIDE))
    with pytest.raises(ImageTooLarge):
        mosaic(cut(0, 0, 100, 100), away)


def test_a_tile_without_geography_has_no_place() -> None:
    with pytest.raises(GeographyMissing):
        mosaic(cut(0, 0, 100, 100), write(ground(PLACE)))
