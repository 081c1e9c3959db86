from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from affine import Affine

from gateway.errors import GeographyMissing
from gateway.media.geo.alignment import aligned, warped
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import GeoTiff
from gateway.media.geo.parts import overlap, part_of
from gateway.media.geo.rasters import Raster
from tests.support import places
from tests.support.geotiffs import UInt8, grid, ground, opened, smooth, whole, write

SAMPLES = places.SAMPLES / "format_samples" / "geotiff"
WIDTH, HEIGHT = 300, 240
NORTH_WEST = (366_642.5, 4_104_511.0)
PRE = grid(WIDTH, HEIGHT)
TURNED = grid(
    WIDTH, HEIGHT, affine=Affine.translation(366_600, 4_104_480) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5)
)
# The same place in other grids, all of which the pre grid lies within.
AROUND = {
    "metres": grid(500, 440, affine=Affine(0.5, 0, 366_592.5, 0, -0.5, 4_104_561)),
    "half a pixel aside": grid(500, 440, affine=Affine(0.5, 0, 366_592.75, 0, -0.5, 4_104_561.25)),
    "finer": grid(1000, 880, affine=Affine(0.25, 0, 366_592.5, 0, -0.25, 4_104_561)),
    "coarser": grid(320, 280, affine=Affine(0.8, 0, 366_592.5, 0, -0.8, 4_104_561)),
    "degrees": grid(500, 400, "EPSG:4326", Affine(5e-6, 0, -94.5009, 0, -5e-6, 37.0777)),
    "NAD83": grid(500, 440, "EPSG:26915", Affine(0.5, 0, 366_592.5, 0, -0.5, 4_104_561)),
    "Mercator": grid(420, 400, "EPSG:3857", Affine(0.6, 0, -10_519_780, 0, -0.6, 4_449_940)),
    "turned": grid(
        520, 520, affine=Affine.translation(366_575, 4_104_560) @ Affine.rotation(-20) @ Affine.scale(0.5, -0.5)
    ),
    "south up": grid(500, 440, affine=Affine(0.5, 0, 366_592.5, 0, 0.5, 4_104_341)),
}


@pytest.mark.parametrize("where", AROUND)
@pytest.mark.parametrize("pre", [PRE, TURNED], ids=["upright", "turned"])
def test_the_ground_lies_where_it_lies_in_the_pre_image(where: str, pre: GeoGrid) -> None:
    post = opened(write(ground(AROUND[where]), AROUND[where]))
    pixels, observed = whole(aligned(post, pre))
    expected = ground(pre).astype(int)
    assert observed.mean() == pytest.approx(overlap(pre, AROUND[where]).area / (WIDTH * HEIGHT), abs=0.01)
    assert observed.mean() > 0.7
    # Waves of 127 ± 100 and some fifty pixels: a tenth of a pixel makes a mean difference of about 1.
    inner = cv2.erode(observed.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(pixels - expected)[inner].mean() < 1.5
    assert (pixels[~observed] == 0).all()


POLAR = grid(WIDTH, HEIGHT, "EPSG:4326", Affine(5e-4, 0, -56.4, 0, -8e-5, 80.63))
FROM = {
    "turned": (grid(WIDTH, HEIGHT, affine=PRE.affine @ Affine.rotation(30)), PRE),
    "a quarter turned": (grid(WIDTH, HEIGHT, affine=PRE.affine @ Affine(0, 0.7, 0, 1.4, 0, 0)), PRE),
    "turned and fine": (
        grid(3 * WIDTH, 3 * HEIGHT, affine=PRE.affine @ Affine.rotation(30) @ Affine.scale(1 / 3)),
        PRE,
    ),
    "degrees": (grid(WIDTH, HEIGHT, "EPSG:4326", Affine(5.5e-6, 0, -94.4999, 0, -4.5e-6, 37.0772)), PRE),
    "polar": (grid(WIDTH, HEIGHT, "EPSG:3413", Affine(10, 0, -203_500, 0, -10, -997_000)), POLAR),
}


def by_gdal(post: GeoTiff, target: GeoGrid) -> Raster:
    assert post.info.grid is not None
    return warped(post, post.info.grid, target, (0, 0))


# OpenCV rounds places to a 32nd of a pixel, and noise has steps of 255; GDAL reads by blocks that begin with the grid.
@pytest.mark.parametrize(("by", "window", "part"), [(aligned, 8, 8), (by_gdal, 0, 1)])
@pytest.mark.parametrize("where", FROM)
def test_the_same_ground_looks_the_same_whatever_is_read_around_it(
    where: str, by: Callable[[GeoTiff, GeoGrid], Raster], window: int, part: int
) -> None:
    source, target = FROM[where]
    noise = np.random.default_rng(0).integers(1, 255, (source.height, source.width, 3)).astype(np.uint8)
    post = opened(write(noise, source))
    pixels, seen = whole(by(post, target))
    assert seen.mean() > 0.2
    windows = (
        ((0, 5), (3, 200)),
        ((37, HEIGHT), (51, 150)),
        ((HEIGHT - 4, HEIGHT), (100, WIDTH)),
        ((11, 70), (17, WIDTH)),
    )
    for down, across in windows:
        here = slice(*down), slice(*across)
        # The second lies on a grid that begins elsewhere, as that of a part of the image does.
        for raster, apart in (
            (by(post, target).read(*here), window),
            (whole(by(post, part_of(target, here))), part),
        ):
            both = raster[1] & seen[here]
            assert np.abs(raster[0].astype(int) - pixels[here])[both].max(initial=0) <= apart
            assert np.count_nonzero(raster[1] != seen[here]) <= 4


def test_one_grid_changes_nothing() -> None:
    picture = smooth(HEIGHT, WIDTH)
    post = opened(write(picture, PRE))
    same = aligned(post, PRE)
    for raster in (same, aligned(post, PRE, (1e-9, 0))):
        pixels, observed = whole(raster)
        assert (pixels == picture).all()
        assert observed.all()
        raster.close()
    assert same.info == post.info
    assert (whole(post)[0] == picture).all()


def test_a_shift_says_where_the_post_image_has_it() -> None:
    """Ground that post shows 2.5 pixels to the right and 1.25 up of where it truly lies comes back into place."""
    moved = GeoGrid(PRE.crs, AROUND["metres"].affine @ Affine.translation(2.5, -1.25), 500, 440)
    post = opened(write(ground(AROUND["metres"]), moved))
    pixels, _ = whole(aligned(post, PRE, (2.5, -1.25)))
    assert np.abs(pixels - ground(PRE).astype(int)).mean() < 1
    unmoved, _ = whole(aligned(post, PRE))
    assert np.abs(unmoved - ground(PRE).astype(int)).mean() > 10


def test_windows_are_parts_of_the_whole_in_any_thread() -> None:
    raster = aligned(opened(write(ground(AROUND["degrees"]), AROUND["degrees"])), PRE)
    pixels, observed = whole(raster)

    def same(top: int) -> bool:
        rows, columns = slice(top, top + 30), slice(top % 50, 260)
        part, seen = raster.read(rows, columns)
        return bool(
            (np.abs(part.astype(int) - pixels[rows, columns]) <= 3).all() and (seen == observed[rows, columns]).all()
        )

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(same, [*range(0, 210, 7)] * 2))
    raster.close()


def test_what_post_does_not_show_was_not_observed() -> None:
    post_grid = grid(200, 400, affine=Affine(0.5, 0, NORTH_WEST[0] + 50, 0, -0.5, NORTH_WEST[1]))
    post = ground(post_grid).copy()
    post[20:60, 20:60] = 0
    raster = aligned(opened(write(post, post_grid, nodata=0)), PRE)
    _, observed = whole(raster)
    assert not observed[:, :100].any()
    assert not observed[20:60, 120:160].any()
    assert observed[:, 100:].mean() == pytest.approx(1 - 1600 / (200 * HEIGHT), abs=1e-3)
    assert raster.info.grid == PRE


def test_the_collar_is_warped_with_the_image_and_bleeds_into_nothing() -> None:
    post_grid = AROUND["degrees"]
    post = ground(post_grid).copy()
    y, x = np.mgrid[: post_grid.height, : post_grid.width]
    post[x + y < 400] = 0
    whole_of_it, _ = whole(aligned(opened(write(ground(post_grid), post_grid)), PRE))
    pixels, observed = whole(aligned(opened(write(post, post_grid)), PRE))
    assert 0.1 < observed.mean() < 0.9
    assert (pixels[observed] == whole_of_it[observed]).all()


def test_places_that_are_not_numbers_spread_no_farther_than_their_pixel() -> None:
    place = AROUND["half a pixel aside"]
    reflectance = ground(place).astype(np.float32) / 255
    reflectance[200:220, 200:220] = np.nan
    _, observed = whole(aligned(opened(write(reflectance, place, photometric="rgb")), PRE))
    assert 300 < (~observed).sum() < 23 * 23


def test_sixteen_bits_are_stretched_after_warping_as_before() -> None:
    place = AROUND["metres"]
    raw = ground(place).astype(np.uint16) * 30 + 500
    post = opened(write(raw, place, photometric="rgb"))
    pixels, _ = whole(aligned(post, PRE))
    direct, _ = whole(post)
    assert (pixels == direct[100 : 100 + HEIGHT, 100 : 100 + WIDTH]).all()


@pytest.mark.parametrize("pre", ["EPSG:4326", "west", "EPSG:32660", "EPSG:3832"])
@pytest.mark.parametrize("post", ["EPSG:4326", "west", "EPSG:32701", "EPSG:3832"])
def test_the_antimeridian_is_a_place_as_any_other(pre: str, post: str) -> None:
    def around(kind: str) -> GeoGrid:
        if kind in ("EPSG:4326", "west"):
            return grid(
                WIDTH, HEIGHT, "EPSG:4326", Affine(1e-5, 0, 179.9985 if kind != "west" else -180.0015, 0, -1e-5, 10)
            )
        degrees = grid(1, 1, "EPSG:4326")
        east, north = GeoGrid(degrees.crs, Affine.identity(), 1, 1), grid(1, 1, kind, Affine.identity())
        x, y = north.from_lon_lat(east.to_lon_lat([(179.9985, 10)]))[0]
        return grid(WIDTH, HEIGHT, kind, Affine(1.1, 0, x, 0, -1.1, y))

    before, after = around(pre), around(post)
    pixels, observed = whole(aligned(opened(write(ground(after), after)), before))
    assert observed.mean() > 0.94
    assert overlap(before, after).area / (WIDTH * HEIGHT) == pytest.approx(observed.mean(), abs=0.01)
    assert np.abs(pixels - ground(before).astype(int))[observed].mean() < 1


def test_images_apart_have_nothing_in_common() -> None:
    elsewhere = grid(100, 100, affine=Affine(0.5, 0, 466_642.5, 0, -0.5, 4_104_511))
    far = grid(100, 100, "EPSG:4326", Affine(1e-5, 0, 85, 0, -1e-5, -37))
    for place in (elsewhere, far):
        assert overlap(PRE, place).is_empty
        pixels, observed = whole(aligned(opened(write(smooth(100, 100), place)), PRE))
        assert not observed.any()
        assert not pixels.any()


def test_an_image_without_geography_cannot_be_aligned() -> None:
    with pytest.raises(GeographyMissing):
        aligned(opened(write(smooth(64, 64))), PRE)


def test_the_real_pair_in_two_reference_systems_shows_one_place() -> None:
    if not SAMPLES.is_dir():
        pytest.skip("no real samples: ../shared/data/format_samples/geotiff is not there")
    pre = opened((SAMPLES / "joplin_pre_utm15n_tile_337-9136.tif").read_bytes())
    post = opened((SAMPLES / "joplin_post_wgs84_tile_31500-5137.tif").read_bytes())
    assert pre.info.grid is not None
    assert post.info.grid is not None
    common = overlap(pre.info.grid, post.info.grid)
    longitude, latitude = pre.info.grid.to_lon_lat(np.array(common.exterior.coords)).T
    assert (latitude.min(), latitude.max()) == pytest.approx((37.0719, 37.0751), abs=1e-4)
    assert (longitude.min(), longitude.max()) == pytest.approx((-94.4996, -94.4935), abs=1e-4)
    before, _ = whole(pre)
    after, observed = whole(aligned(post, pre.info.grid))
    assert observed.mean() == pytest.approx(common.area / 1024**2, abs=0.005)
    # A tornado lies between the two, and a pixel of their makers' georeferencing; streets remain.
    shift = _measured(before, after)
    assert 1 < np.linalg.norm(shift) < 2
    corrected, _ = whole(aligned(post, pre.info.grid, shift))
    assert np.linalg.norm(_measured(before, corrected)) < 0.15


def _measured(before: UInt8, after: UInt8) -> tuple[float, float]:
    rows, columns = slice(480, 1008), slice(128, 976)
    grey = [cv2.cvtColor(image[rows, columns], cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (before, after)]
    (dx, dy), _ = cv2.phaseCorrelate(grey[0], grey[1], cv2.createHanningWindow((848, 528), cv2.CV_64F))
    return dx, dy
