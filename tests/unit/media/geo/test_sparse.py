"""TIFF files that are elsewhere: what is read of them is right, and no more than that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from gateway.errors import ImageUnreadable, InputUnreachable, UnsupportedMedia
from gateway.media.geo.alignment import warped
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import open_geotiff
from gateway.media.geo.remapping import source_part
from gateway.media.geo.sparse import SparseFile
from gateway.media.pictures import headers
from tests.support.elsewhere import Elsewhere
from tests.support.geotiffs import LIMITS, grid, smooth, write

HEIGHT, WIDTH = 900, 1300
TILES = {"tiled": True, "blockxsize": 128, "blockysize": 128}
JPEG = {**TILES, "compress": "jpeg", "photometric": "ycbcr"}


def picture(dtype: type = np.uint8) -> Any:
    fine = np.random.default_rng(5).integers(1, np.iinfo(dtype).max, (HEIGHT, WIDTH, 3))
    return fine.astype(dtype)


LAYOUTS: dict[str, dict[str, Any]] = {
    "uncompressed tiles": TILES,
    "strips": {},
    "compressed strips": {"compress": "lzw"},
    "bands apart": {**TILES, "interleave": "band"},
    "BigTIFF": {**TILES, "BIGTIFF": "YES"},
    "a mask": {**TILES, "mask": np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 97 > 30},
    "deflated": {**TILES, "compress": "deflate"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_are_those_of_the_file_itself(layout: str) -> None:
    data = write(picture(), grid(WIDTH, HEIGHT), **LAYOUTS[layout])
    source, random = Elsewhere(data), np.random.default_rng(1)
    file = SparseFile(source)
    here, there = open_geotiff(data, LIMITS), open_geotiff(file, LIMITS)
    assert there.info == here.info
    for _ in range(12):
        y, x = int(random.integers(0, HEIGHT - 1)), int(random.integers(0, WIDTH - 1))
        window = slice(y, min(HEIGHT, y + 90)), slice(x, min(WIDTH, x + 90))
        for found, expected in zip(there.read(*window), here.read(*window), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert 0 < source.read_bytes < 0.8 * len(data)
    pages = [page for start, stop in source.ranges for page in range(start // 16384, -(-stop // 16384))]
    assert len(pages) == len(set(pages)), "each once"
    for raster in (here, there, file):
        raster.close()


def test_several_threads_read_one_file_at_once() -> None:
    data = write(picture(), grid(WIDTH, HEIGHT), **TILES)
    here, there = open_geotiff(data, LIMITS), open_geotiff(SparseFile(Elsewhere(data)), LIMITS)
    windows = [(slice(y, y + 100), slice(x, x + 130)) for y in range(0, 800, 100) for x in range(0, 1170, 130)]
    with ThreadPoolExecutor(4) as pool:
        for window, found in zip(windows, pool.map(lambda one: there.read(*one), windows), strict=True):
            np.testing.assert_array_equal(found[0], here.read(*window)[0])


def test_a_glance_at_many_places_asks_once() -> None:
    source = Elsewhere(write(picture(np.uint16), grid(WIDTH, HEIGHT), **TILES))
    open_geotiff(SparseFile(source), LIMITS)
    assert source.calls < 10


def test_what_gdal_warps_by_itself_is_all_there() -> None:
    place = grid(WIDTH, HEIGHT)
    other = grid(200, 200, affine=place.affine @ Affine.translation(300, 200) @ Affine.rotation(20) @ Affine.scale(2))
    data, window = write(picture(), place, **TILES), (slice(0, 200), slice(0, 200))
    here, there = (
        warped(open_geotiff(file, LIMITS), place, other, (0, 0)).read(*window)
        for file in (data, SparseFile(Elsewhere(data)))
    )
    np.testing.assert_array_equal(here[0], there[0])
    assert there[1].mean() > 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("off", [(0.0, 0.0), (3.3, -2.7)])
def test_of_what_gdal_warps_that_alone_is_fetched_which_lies_under_it(layout: str, off: tuple[float, float]) -> None:
    place = grid(WIDTH, HEIGHT)
    turned = Affine.translation(700, 200) @ Affine.rotation(20) @ Affine.scale(1.5)
    other = grid(100, 100, affine=place.affine @ turned)
    data, window = write(picture(), place, **LAYOUTS[layout]), (slice(0, 100), slice(0, 100))
    source = Elsewhere(data)
    here, there = (
        warped(open_geotiff(file, LIMITS), place, other, off).read(*window) for file in (data, SparseFile(source))
    )
    np.testing.assert_array_equal(there[0], here[0])
    np.testing.assert_array_equal(there[1], here[1])
    assert source.read_bytes < 0.45 * len(data)


def test_what_lies_under_a_box_cannot_always_be_told() -> None:
    """About a pole, or where nothing leads from one reference system to the other."""
    place, pole = CRS.from_epsg(4326), CRS.from_epsg(3413)
    whole = GeoGrid(place, Affine(0.1, 0, -180, 0, -0.1, 90), 3600, 400)
    north = GeoGrid(pole, Affine(1000, 0, -50_000, 0, -1000, 50_000), 100, 100)
    rows, columns = source_part(whole, north, (0, 0)) or (slice(0, 400), slice(0, 3600))
    assert (rows.start, columns) == (0, slice(0, 3600))


def test_jpeg_is_gone_over_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    smooth_data = write(smooth(HEIGHT, WIDTH), grid(WIDTH, HEIGHT), **JPEG)
    gone_over: list[int] = []
    check = headers.check_scans

    def counting(piece: memoryview) -> None:
        gone_over.append(len(piece))
        check(piece)

    monkeypatch.setattr("gateway.media.geo.sparse.check_scans", counting)
    raster = open_geotiff(SparseFile(Elsewhere(smooth_data)), LIMITS)
    opening = len(gone_over)
    raster.read(slice(300, 500), slice(300, 500))
    assert 4 <= len(gone_over) - opening <= 9, "the tiles under the window, and no others"
    raster.read(slice(300, 500), slice(300, 500))
    assert len(gone_over) - opening <= 9, "once"


def test_what_is_away_is_said_so_and_what_is_no_tiff_too() -> None:
    source = Elsewhere(write(picture(), grid(WIDTH, HEIGHT), **TILES))
    raster = open_geotiff(SparseFile(source), LIMITS)
    source.away = True
    with pytest.raises(InputUnreachable):
        raster.read(slice(400, 500), slice(400, 500))
    with pytest.raises(UnsupportedMedia):
        open_geotiff(SparseFile(Elsewhere(b'{"type": "Feature"}')), LIMITS)
    with pytest.raises(ImageUnreadable):
        open_geotiff(SparseFile(Elsewhere(source.data[: len(source.data) // 2])), LIMITS)
