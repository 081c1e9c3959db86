"""Coordinates between nodes are as exact as promised, and pixels those of GDAL's own warping."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.warp
from affine import Affine

from gateway.media.gdal import contained
from gateway.media.geo.alignment import AlignedRaster, aligned, warped
from gateway.media.geo.georeference import GeoGrid, applied
from gateway.media.geo.remapping import CLOSE, Coordinates, RemappedRaster, coordinates
from tests.support.geotiffs import grid, ground, opened, whole, write

SIZE = 700
PRE = grid(SIZE, SIZE)
TURNED = Affine.translation(366_500, 4_104_600) @ Affine.rotation(-20) @ Affine.scale(0.5, -0.5)
POST = {
    "the same system": grid(900, 900, affine=Affine(0.47, 0, 366_600.3, 0, -0.47, 4_104_540.1)),
    "degrees": grid(1000, 900, "EPSG:4326", Affine(5e-6, 0, -94.5009, 0, -5e-6, 37.0777)),
    "Mercator": grid(900, 900, "EPSG:3857", Affine(0.6, 0, -10_519_800, 0, -0.6, 4_449_990)),
    "the next zone": grid(1200, 1200, "EPSG:32614", Affine(0.5, 0, 900_000, 0, -0.5, 4_113_000)),
    "turned": grid(1100, 1100, affine=TURNED),
}
# Ten metres a pixel: a scene of 100 km, over which the Earth is anything but flat.
COARSE = grid(10_000, 10_000, affine=Affine(10, 0, 310_000, 0, -10, 4_150_000))
WIDE = grid(12_000, 10_000, "EPSG:4326", Affine(1.2e-4, 0, -95.3, 0, -9e-5, 37.6))


def exact(source: GeoGrid, target: GeoGrid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where the centres of pixels of `target` lie in `source`, pixel by pixel, as PROJ has it."""
    places = applied(target.affine, np.stack([x + 0.5, y + 0.5], axis=1))
    with contained():
        moved = rasterio.warp.transform(target.crs, source.crs, places[:, 0].tolist(), places[:, 1].tolist())
    return applied(~source.affine, np.stack(moved[:2], axis=1)).T - 0.5


@pytest.mark.parametrize(
    ("source", "target"), [*((post, PRE) for post in POST.values()), (WIDE, COARSE)], ids=[*POST, "100 km"]
)
def test_coordinates_are_within_a_twentieth_of_a_pixel(source: GeoGrid, target: GeoGrid) -> None:
    found = coordinates(source, target, (0, 0))
    assert found is not None
    rng = np.random.default_rng(1)
    for _ in range(4):
        top, left = int(rng.integers(0, target.height - 300)), int(rng.integers(0, target.width - 300))
        rows, columns = slice(top, top + 300), slice(left, left + 290)
        places, origin = found.of(rows, columns)
        y, x = rng.integers(0, 300, 200), rng.integers(0, 290, 200)
        expected = exact(source, target, left + x, top + y)
        off = np.abs(places[:, y, x] + np.array(origin)[:, None] - expected).max()
        # OpenCV rounds to 1/32 pixel besides.
        assert off <= CLOSE
        assert off + 1 / 64 < 0.05


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.4, -2.2)])
@pytest.mark.parametrize("step", [0.5, 0.47, 0.21])
@pytest.mark.parametrize("turn", [0, -20])
def test_one_matrix_does_what_coordinates_of_all_pixels_do(
    monkeypatch: pytest.MonkeyPatch, shift: tuple[float, float], step: float, turn: float
) -> None:
    corner = Affine.translation(366_640.3, 4_104_470.1) @ Affine.rotation(turn) @ Affine.scale(step, -step)
    place = grid(600, 500, affine=corner)
    pixels = ground(place).copy()
    pixels[100:140, 200:260] = 0
    post = opened(write(pixels, place, nodata=0))
    straight = aligned(post, PRE, shift)
    assert isinstance(straight, RemappedRaster)
    found, seen = whole(straight)
    part, _ = straight.read(slice(101, 340), slice(77, 500))
    monkeypatch.setattr(Coordinates, "affine", None)
    expected, expected_seen = whole(aligned(post, PRE, shift))
    assert 0.05 < seen.mean() < 1
    # On the very border rounding says.
    assert np.count_nonzero(seen != expected_seen) < 100
    both = seen & expected_seen
    difference = np.abs(found.astype(int) - expected)[both]
    assert (difference.max() <= 3, difference.mean() < 0.1) == (True, True)
    np.testing.assert_allclose(part, found[101:340, 77:500], atol=1)


@pytest.mark.parametrize("off", [(40.0, 30.0), (-25.0, 60.0), (40.25, 30.5), (0.4, -0.3)])
def test_what_is_only_moved_is_what_one_matrix_does_of_it(off: tuple[float, float]) -> None:
    place = grid(600, 500, affine=PRE.affine @ Affine.translation(*off))
    pixels = ground(place).copy()
    pixels[100:140, 200:260] = 0
    moved = aligned(opened(write(pixels, place, nodata=0)), PRE)
    assert isinstance(moved, RemappedRaster)
    found, seen = whole(moved)
    # One pixel in a thousand times as wide a raster: no longer only moved, and by far less than is seen.
    near = grid(600, 500, affine=place.affine @ Affine.scale(1 + 2e-5))
    expected, expected_seen = whole(aligned(opened(write(pixels, near, nodata=0)), PRE))
    assert np.count_nonzero(seen != expected_seen) < 1200
    both = seen & expected_seen
    assert 0.3 < both.mean() < 1
    assert np.abs(found.astype(int) - expected)[both].max() <= 2
    if all(float(by).is_integer() for by in off):
        left, top = max(0, int(off[0])), max(0, int(off[1]))
        own = pixels[top - int(off[1]) :, left - int(off[0]) :]
        assert np.array_equal(found[top : top + len(own), left : left + own.shape[1]], own[: SIZE - top, : SIZE - left])


def test_a_matrix_stands_for_what_is_straight_alone() -> None:
    for where in ("the same system", "turned"):
        found = coordinates(POST[where], PRE, (0, 0))
        assert found is not None
        assert found.affine is not None
    wide = coordinates(WIDE, COARSE, (0, 0))
    assert wide is not None
    assert wide.affine is None


@pytest.mark.parametrize("where", POST)
def test_pixels_are_those_of_gdals_own_warping(where: str) -> None:
    place = POST[where]
    picture = ground(place).copy()
    picture[300:340, 300:340] = 0
    post = opened(write(picture, place, nodata=0))
    assert post.info.grid is not None
    for shift in ((0.0, 0.0), (1.3, -0.4)):
        ours, theirs = aligned(post, PRE, shift), warped(post, post.info.grid, PRE, shift)
        assert isinstance(ours, RemappedRaster)
        assert isinstance(theirs, AlignedRaster)
        (pixels, observed), (expected, observed_there) = whole(ours), whole(theirs)
        # GDAL lets what is around a gap grow into it by half a pixel; here the gap grows.
        assert np.mean(observed != observed_there) < 0.005
        both = observed & observed_there
        assert both.mean() > 0.4
        assert np.abs(pixels[both].astype(int) - expected[both]).mean() < 0.7
        assert not pixels[~observed].any()


def test_about_a_pole_gdal_warps() -> None:
    polar = grid(2000, 2000, "EPSG:3413", Affine(10, 0, -10_000, 0, -10, 10_000))
    degrees = grid(2000, 2000, "EPSG:4326", Affine(0.18, 0, -180, 0, -1e-4, 90))
    assert coordinates(degrees, polar, (0, 0)) is None


FINE = {
    "2.5 to one": grid(2000, 2000, affine=Affine(0.2, 0, 366_600.3, 0, -0.2, 4_104_540.1)),
    "five to one, turned": grid(
        4000, 4000, affine=Affine.translation(366_500, 4_104_600) @ Affine.rotation(-20) @ Affine.scale(0.1, -0.1)
    ),
    "degrees, finer down than across": grid(1000, 2500, "EPSG:4326", Affine(5e-6, 0, -94.5009, 0, -1.5e-6, 37.0777)),
}


@pytest.mark.parametrize("where", FINE)
def test_smaller_pixels_are_averaged_as_gdal_does(where: str) -> None:
    place = FINE[where]
    picture = ground(place).copy()
    picture[600:700, 500:620] = 0
    post = opened(write(picture, place, nodata=0))
    assert post.info.grid is not None
    ours, theirs = aligned(post, PRE), warped(post, post.info.grid, PRE, (0, 0))
    assert isinstance(ours, RemappedRaster)
    (pixels, observed), (expected, observed_there) = whole(ours), whole(theirs)
    assert np.mean(observed != observed_there) < 0.01
    both = observed & observed_there
    assert both.mean() > 0.4
    assert np.abs(pixels[both].astype(int) - expected[both]).mean() < 1.5
    assert not pixels[~observed].any()
    part, seen = ours.read(slice(100, 163), slice(90, 201))
    assert np.abs(part.astype(int) - pixels[100:163, 90:201]).max() <= 3
    assert (seen == observed[100:163, 90:201]).mean() > 0.999


def test_noise_is_averaged_away() -> None:
    """A quarter of the pixels would do for smooth ground; only a mean of all of them is still."""
    fine = grid(5600, 5600, affine=Affine(0.0625, 0, 366_642.5, 0, -0.0625, 4_104_511))
    noise = np.random.default_rng(0).integers(1, 256, (5600, 5600, 1), np.uint8).repeat(3, axis=2)
    pixels, observed = whole(aligned(opened(write(noise, fine, photometric="rgb")), PRE))
    assert observed.all()
    assert pixels.std() == pytest.approx(74 / 8, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (128, 129), (257, 1)])
def test_any_size_has_coordinates(size: tuple[int, int]) -> None:
    width, height = size
    target = grid(width, height)
    found = coordinates(POST["degrees"], target, (0, 0))
    assert found is not None
    places, origin = found.of(slice(0, height), slice(0, width))
    expected = exact(POST["degrees"], target, np.array([width - 1]), np.array([height - 1]))
    np.testing.assert_allclose(places[:, -1, -1] + np.array(origin), expected[:, 0], atol=CLOSE)
