"""Heights and classes on the grid of an image, judged by a slope that is known everywhere and by rasterio's warp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.warp import reproject

from gateway.errors import BandsUnsuitable, GeometryUnsuitable, ImageTooLarge, UnsupportedMedia
from gateway.media.gdal import contained
from gateway.media.geo.georeference import GeoGrid, applied, transformed
from gateway.media.geo.ground_rasters import GroundFile, GroundRaster
from gateway.media.geo.sparse import SparseFile
from gateway.media.pictures.images import ImageLimits
from tests.support.elsewhere import Elsewhere
from tests.support.geotiffs import grid, write

LIMITS = ImageLimits(max_pixels=1 << 24, max_side=1 << 13, min_side=1)
COARSE = grid(200, 160, affine=Affine(2, 0, 366_600, 0, -2, 4_104_600))
"""Two metres a pixel around the images."""

IMAGE = grid(320, 240)
TURNED = grid(300, 260, affine=Affine.translation(366_700, 4_104_500) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5))


def degrees() -> GeoGrid:
    """Return a grid in degrees about where `IMAGE` lies."""
    (west, south), (east, north) = IMAGE.to_lon_lat([(0, IMAGE.height), (IMAGE.width, 0)]).tolist()
    return grid(280, 250, "EPSG:4326", Affine((east - west) / 280, 0, west, 0, -(north - south) / 250, north))


def band(values: NDArray[Any], place: GeoGrid | None = COARSE, **profile: Any) -> bytes:
    return write(values[..., None], place, **profile)


@contextmanager
def opened(data: bytes, *, classes: bool = False) -> Iterator[GroundFile]:
    with closing(GroundFile(memoryview(data), LIMITS, classes=classes)) as file:
        yield file


def whole(raster: GroundRaster, place: GeoGrid) -> NDArray[Any]:
    """Return all of a raster on a grid, read in windows that do not fit it."""
    rows = [slice(top, min(top + 97, place.height)) for top in range(0, place.height, 97)]
    columns = [slice(left, min(left + 130, place.width)) for left in range(0, place.width, 130)]
    return np.block([[raster.read(down, across) for across in columns] for down in rows])


def plane(place: GeoGrid) -> NDArray[np.float64]:
    """Return the heights of one and the same slope at the centres of a grid's pixels."""
    y, x = np.mgrid[: place.height, : place.width] + 0.5
    points = applied(place.affine, np.stack([x.ravel(), y.ravel()], axis=1))
    if place.crs != COARSE.crs:
        points = transformed(place.crs, COARSE.crs, points)
    heights: NDArray[np.float64] = 300 + 0.03 * (points[:, 0] - 366_600) - 0.02 * (points[:, 1] - 4_104_600)
    return heights.reshape(place.height, place.width)


@pytest.mark.parametrize("place", [IMAGE, TURNED, degrees()], ids=["finer", "turned", "degrees"])
def test_a_slope_lies_where_it_lay(place: GeoGrid) -> None:
    with opened(band(plane(COARSE).astype(np.float32))) as file:
        heights = whole(file.on(place), place)
    assert heights.dtype == np.float32
    assert not np.isnan(heights).any()
    # GDAL's transformer is exact to an eighth of a pixel of 2 m, over which the slope rises by a centimetre.
    np.testing.assert_allclose(heights, plane(place), atol=0.01)


def judged(data: bytes, place: GeoGrid, resampling: Resampling, fill: float) -> NDArray[Any]:
    """Return what rasterio's function makes of a file on a grid."""
    with contained(), MemoryFile(data) as memory, memory.open() as file:
        found = np.full((place.height, place.width), fill, np.float64)
        reproject(
            file.read(1).astype(np.float64),
            found,
            src_transform=file.transform,
            src_crs=file.crs,
            src_nodata=file.nodata,
            dst_transform=place.affine,
            dst_crs=place.crs,
            dst_nodata=fill,
            resampling=resampling,
        )
    return found


WIDE = grid(2400, 2000, affine=Affine(0.5, 0, 366_600, 0, -0.5, 4_104_600))
"""Half a metre a pixel, far around the images."""

LAYOUTS: dict[str, dict[str, Any]] = {
    "nodata": {"nodata": -9999},
    "a mask": {"mask": np.arange(2400 * 2000).reshape(2000, 2400) % 97 > 30},
    "an undeclared fill": {},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "place",
    [grid(320, 240), TURNED, degrees(), grid(40, 30, affine=Affine(7, 0, 366_700, 0, -7, 4_104_500))],
    ids=["as fine", "turned", "degrees", "coarser"],
)
def test_of_a_file_elsewhere_only_what_is_needed_is_fetched(layout: str, place: GeoGrid) -> None:
    heights = np.random.default_rng(3).uniform(0, 40, (2000, 2400)).astype(np.float32)
    heights[::7, ::5] = -9999
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    data = band(heights, WIDE, **tiled, **LAYOUTS[layout])
    source = Elsewhere(data)
    with opened(data) as here, closing(GroundFile(SparseFile(source), LIMITS, classes=False)) as there:
        np.testing.assert_array_equal(whole(there.on(place), place), whole(here.on(place), place))
        assert there.notices == here.notices
        # A fill that is not declared is looked for in nine places, which are most of a file of this size.
        assert source.read_bytes < 0.5 * len(data) or not LAYOUTS[layout]
        corner = slice(1990, 2000), slice(2390, 2400)
        np.testing.assert_array_equal(there.as_it_is().read(*corner), here.as_it_is().read(*corner))


def test_of_a_file_elsewhere_that_lies_beside_the_image_nothing_is_known() -> None:
    beside = grid(200, 160, affine=Affine(2, 0, 466_600, 0, -2, 4_104_600))
    source = Elsewhere(band(plane(COARSE).astype(np.float32), beside))
    with closing(GroundFile(SparseFile(source), LIMITS, classes=False)) as there:
        assert np.isnan(whole(there.on(IMAGE), IMAGE)).all()


@pytest.mark.parametrize("place", [IMAGE, TURNED, degrees()], ids=["finer", "turned", "degrees"])
def test_heights_and_classes_are_as_rasterio_warps_them_and_nodata_takes_no_part(place: GeoGrid) -> None:
    drawn = np.random.default_rng(0)
    heights = drawn.uniform(0, 40, (160, 200)).astype(np.float32)
    heights[60:90, 80:120] = -9999
    sent = band(heights, nodata=-9999)
    with opened(sent) as file:
        found = whole(file.on(place), place)
    expected = judged(sent, place, Resampling.bilinear, np.nan)
    assert (np.isnan(found) == np.isnan(expected)).mean() > 0.999
    both = ~np.isnan(found) & ~np.isnan(expected)
    np.testing.assert_allclose(found[both], expected[both], atol=0.01)
    assert 0 < np.nanmin(found) < np.nanmax(found) < 40
    assert 0.01 < np.isnan(found).mean() < 0.5
    classes = drawn.integers(0, 5, (160, 200)).astype(np.uint8)
    classes[60:90, 80:120] = 77
    sent = band(classes, nodata=77)
    with opened(sent, classes=True) as file:
        covered = whole(file.on(place), place)
    assert covered.dtype == np.uint8
    assert (covered == judged(sent, place, Resampling.nearest, 255)).mean() > 0.99
    assert set(np.unique(covered)) == {0, 1, 2, 3, 4, 255}


def test_finer_heights_are_averaged() -> None:
    place = grid(40, 30)
    fine = grid(400, 300, affine=place.affine @ Affine.scale(0.1))
    heights = np.random.default_rng(0).uniform(0, 10, (300, 400)).astype(np.float32)
    with opened(band(heights, fine)) as file:
        found = whole(file.on(place), place)
    # Single samples would deviate by 2.9.
    assert found[1:-1, 1:-1].std() < 0.5
    assert found.mean() == pytest.approx(5, abs=0.1)


def test_on_its_own_grid_nothing_changes() -> None:
    heights = np.random.default_rng(0).uniform(0, 40, (160, 200)).astype(np.float32)
    with opened(band(heights)) as file:
        np.testing.assert_array_equal(whole(file.on(COARSE), COARSE), heights)
        np.testing.assert_array_equal(whole(file.as_it_is(), COARSE), heights)


@pytest.mark.parametrize("warped", [True, False])
@pytest.mark.parametrize("how", ["declared", "mask", "fill", "nan"])
def test_what_a_file_does_not_know_is_missing(how: str, warped: bool) -> None:
    heights = np.random.default_rng(0).uniform(0, 40, (160, 200)).astype(np.float32)
    hidden = np.zeros((160, 200), bool)
    hidden[100:, :50] = True
    profile: dict[str, Any] = {}
    if how == "mask":
        profile["mask"] = ~hidden
    else:
        heights[hidden] = np.nan if how == "nan" else -9999
    if how == "declared":
        profile["nodata"] = -9999
    with opened(band(heights, **profile)) as file:
        found = whole(file.on(COARSE) if warped else file.as_it_is(), COARSE)
        told = file.notices
    np.testing.assert_array_equal(np.isnan(found), hidden)
    np.testing.assert_array_equal(found[~hidden], heights[~hidden])
    assert any("-9999 is taken for nothing known" in said for said in told) == (how == "fill")


def _measured(values: NDArray[Any], unit: str, scale: float = 1.0, offset: float = 0.0) -> bytes:
    placed = {"crs": COARSE.crs, "transform": COARSE.affine, "width": 200, "height": 160, "count": 1}
    with contained(), MemoryFile(ext=".tif") as memory:
        with memory.open(driver="GTiff", dtype=values.dtype, **placed) as file:
            file.write(values, 1)
            file.units, file.scales, file.offsets = (unit,), (scale,), (offset,)
        return bytes(memory.getbuffer())


NOWHERE = GeoGrid(COARSE.crs, Affine.identity(), 200, 160)


@pytest.mark.parametrize(
    ("sent", "metres"),
    [
        (_measured(np.full((160, 200), 100, np.float32), "ft"), 30.48),
        (_measured(np.full((160, 200), 100, np.float32), "US survey foot"), 100 * 1200 / 3937),
        (_measured(np.full((160, 200), 100, np.float32), "metre"), 100),
        (_measured(np.full((160, 200), 500, np.int16), "m", 0.1, -10.0), 40),
        (band(np.full((160, 200), 7, np.float64)), 7),
    ],
)
def test_heights_become_metres(sent: bytes, metres: float) -> None:
    with opened(sent) as file:
        for raster in (file.on(IMAGE), file.as_it_is()):
            np.testing.assert_allclose(raster.read(slice(0, 5), slice(0, 5)), metres, rtol=1e-5)
        assert any("multiplied" in said for said in file.notices) == (30 < metres < 31)


def test_classes_of_other_integers_are_read_and_those_beyond_are_none() -> None:
    classes = np.tile(np.array([[3, -1], [300, 254]], np.int16), (80, 100))
    with opened(band(classes), classes=True) as file:
        np.testing.assert_array_equal(file.as_it_is().read(slice(0, 2), slice(0, 2)), [[3, 255], [255, 254]])


@pytest.mark.parametrize(
    ("sent", "classes", "error"),
    [
        (b"GIF89a", False, UnsupportedMedia),
        (write(np.zeros((160, 200, 2), np.float32), COARSE), False, BandsUnsuitable),
        (band(np.zeros((160, 200), np.float32)), True, BandsUnsuitable),
        (band(np.zeros((160, 200), np.complex64)), False, BandsUnsuitable),
        (_measured(np.zeros((160, 200), np.float32), "fathom"), False, BandsUnsuitable),
        (band(np.zeros((9000, 2), np.uint8)), False, ImageTooLarge),
        (
            band(np.zeros((160, 200), np.uint8), NOWHERE),
            False,
            GeometryUnsuitable,
        ),
    ],
)
def test_what_is_no_raster_of_the_ground_is_refused(sent: bytes, classes: bool, error: type[Exception]) -> None:
    with pytest.raises(error):
        GroundFile(memoryview(sent), LIMITS, classes=classes).close()


def test_real_heights_are_as_rasterio_warps_them(roadmap_samples: Path) -> None:
    """A terrain model that declares -9999, on a grid in degrees and finer."""
    path = roadmap_samples / "elevation_opengeos" / "dtm.tif"
    with contained(), rasterio.open(path) as file:
        west, south, east, north = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    place = grid(600, 500, "EPSG:4326", Affine((east - west) / 600, 0, west, 0, -(north - south) / 500, north))
    with opened(path.read_bytes()) as raster:
        found = whole(raster.on(place), place)
    expected = judged(path.read_bytes(), place, Resampling.bilinear, np.nan)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert 0.001 < np.isnan(found).mean() < 0.1
    known = ~np.isnan(found)
    np.testing.assert_allclose(found[known], expected[known], atol=0.01)
