from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from tests.support import places
from tests.support.geotiffs import grid, opened, smooth, whole, write

SAMPLES = places.SAMPLES / "format_samples" / "geotiff"

FORMS: dict[str, dict[str, Any]] = {
    "striped": {},
    "one strip, deflated": {"compress": "deflate", "blockysize": 150},
    "tiled": {"tiled": True, "blockxsize": 64, "blockysize": 64},
    "planes apart": {"interleave": "band", "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "lzw"},
    "LZW with predictor": {"compress": "lzw", "predictor": 2},
    "deflate": {"compress": "deflate", "tiled": True, "blockxsize": 64, "blockysize": 64},
    "ZSTD": {"compress": "zstd"},
    "PackBits": {"compress": "packbits"},
    "BigTIFF": {"BIGTIFF": "YES", "compress": "deflate"},
    "big-endian": {"ENDIANNESS": "BIG"},
    "big-endian BigTIFF": {"ENDIANNESS": "BIG", "BIGTIFF": "YES"},
    "Cloud-Optimised": {"copy_src_overviews": True, "tiled": True, "blockxsize": 64, "blockysize": 64},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_layout_of_the_file_gives_the_same_pixels(form: str) -> None:
    pixels = smooth(150, 200)
    place = grid(200, 150)
    raster = opened(write(pixels, place, **FORMS[form]))
    read, observed = whole(raster)
    assert (read == pixels).all()
    assert observed.all()
    assert raster.info.grid == place
    assert (raster.info.width, raster.info.height, raster.info.bands, raster.info.dtype) == (200, 150, 3, "uint8")
    assert raster.info.notices == ()
    raster.close()


@pytest.mark.parametrize("compress", ["jpeg", "webp"])
def test_lossy_compression_is_read(compress: str) -> None:
    pixels = smooth(160, 192)
    photometric: dict[str, Any] = {"photometric": "ycbcr"} if compress == "jpeg" else {}
    data = write(pixels, compress=compress, tiled=True, blockxsize=64, blockysize=64, **photometric)
    read, observed = whole(opened(data))
    assert np.abs(read.astype(int) - pixels).mean() < 3
    assert observed.all()


def test_a_window_is_that_part_of_the_whole() -> None:
    pixels = smooth(150, 200)
    raster = opened(write(pixels, tiled=True, blockxsize=64, blockysize=64))
    for rows, columns in (
        (slice(0, 1), slice(0, 200)),
        (slice(63, 130), slice(60, 65)),
        (slice(149, 150), slice(199, 200)),
    ):
        read, observed = raster.read(rows, columns)
        assert (read == pixels[rows, columns]).all()
        assert observed.shape == read.shape[:2]


def test_threads_read_side_by_side() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (512, 512, 3), np.uint8)
    raster = opened(write(pixels, compress="deflate", tiled=True, blockxsize=64, blockysize=64))

    def right(top: int) -> bool:
        read, _ = raster.read(slice(top, top + 40), slice(0, 512))
        return bool((read == pixels[top : top + 40]).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(right, [*range(0, 470, 3)] * 3))
    raster.close()


def test_the_upload_is_let_go_of() -> None:
    upload = bytearray(write(smooth(64, 64)))
    raster = opened(memoryview(upload))  # type: ignore[arg-type]
    pixels, _ = whole(raster)
    upload[200:] = bytes(len(upload) - 200)
    assert (whole(raster)[0] == pixels).all()
    raster.close()
    upload.clear()  # a buffer that is still looked at could not be


def test_a_file_without_geography_is_a_picture() -> None:
    raster = opened(write(smooth(64, 64)))
    assert raster.info.grid is None


def test_one_band_is_grey() -> None:
    pixels = smooth(64, 80)[:, :, :1]
    raster = opened(write(pixels))
    assert (whole(raster)[0] == pixels).all()
    assert raster.info.notices == ("the one grey band is taken as red, green and blue",)


def test_colours_are_where_the_file_says() -> None:
    pixels = np.random.default_rng(1).integers(1, 256, (64, 64, 12), np.uint8)
    colours = [ColorInterp.undefined] * 12
    colours[3], colours[2], colours[1] = ColorInterp.red, ColorInterp.green, ColorInterp.blue
    raster = opened(write(pixels, colorinterp=colours))
    assert (whole(raster)[0] == pixels[:, :, [3, 2, 1]]).all()
    assert raster.info.notices == ("9 more bands are not used",)


def test_near_infrared_is_left_out_and_said() -> None:
    pixels = np.random.default_rng(1).integers(1, 256, (64, 64, 4), np.uint8)
    raster = opened(write(pixels, photometric="rgb", alpha="no"))
    read, observed = whole(raster)
    assert (read == pixels[:, :, :3]).all()
    assert observed.all()
    assert raster.info.notices == ("1 more bands are not used",)


def test_alpha_says_what_was_observed() -> None:
    pixels = np.full((64, 64, 4), 200, np.uint8)
    pixels[:, :, 3] = 255
    pixels[10:20, 30:40, 3] = 0
    raster = opened(write(pixels, photometric="rgb", alpha="yes"))
    read, observed = whole(raster)
    assert (observed == (pixels[:, :, 3] > 0)).all()
    assert (read[~observed] == 0).all()
    assert raster.info.notices == ()


def test_a_mask_in_the_file_says_what_was_observed() -> None:
    mask = np.full((64, 64), 255, np.uint8)
    mask[5:9, 50:] = 0
    with_mask = write(np.full((64, 64, 3), 9, np.uint8), mask=mask)
    _, observed = whole(opened(with_mask))
    assert (observed == (mask > 0)).all()


def test_nodata_counts_where_all_bands_have_it() -> None:
    pixels = smooth(64, 64)
    pixels[20:30, 20:30] = 7
    pixels[40, 40, 0] = 7
    _, observed = whole(opened(write(pixels, nodata=7)))
    expected = np.ones((64, 64), np.bool_)
    expected[20:30, 20:30] = False
    assert (observed == expected).all()


def test_sixteen_bits_are_stretched_alike_everywhere() -> None:
    ramp = np.linspace(1000, 3000, 400 * 300).reshape(300, 400).astype(np.uint16)
    raster = opened(write(np.stack([ramp, ramp // 2, ramp + 500], -1), photometric="rgb"))
    read, _ = whole(raster)
    assert raster.info.dtype == "uint16"
    assert raster.info.notices == ("uint16 samples are stretched to 8 bits, 2nd to 98th percentile of each band",)
    assert (read[0, 0], read[-1, -1]) == (pytest.approx(0), pytest.approx(255))
    assert (np.abs(read.astype(int) - read[:, :, :1]) <= 1).all()
    middle = np.interp(ramp, np.percentile(ramp, [2, 98]), [0, 255])
    assert np.abs(read[:, :, 0] - middle).max() < 1
    part, _ = raster.read(slice(100, 120), slice(3, 50))
    assert (part == read[100:120, 3:50]).all()


def test_places_that_are_not_numbers_are_not_observed() -> None:
    reflectance = np.random.default_rng(0).uniform(0.02, 0.4, (64, 64, 3)).astype(np.float32)
    reflectance[3:9, 3:9] = np.nan
    reflectance[20, 20, 1] = np.inf
    read, observed = whole(opened(write(reflectance, photometric="rgb")))
    assert (observed == np.isfinite(reflectance).all(axis=2)).all()
    assert (read[~observed] == 0).all()
    assert read[observed].mean() == pytest.approx(127, abs=10)


def test_an_image_of_one_value_is_no_division_by_zero() -> None:
    read, observed = whole(opened(write(np.full((64, 64, 3), 500, np.uint16), photometric="rgb")))
    assert observed.all()
    assert (read == 0).all()


def turned(height: int, width: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A footprint turned within its box, as orthophotos have it."""
    y, x = np.mgrid[:height, :width]
    below, above = y > 0.2 * x, y < height - 1 - 0.2 * (width - 1 - x)
    within: np.ndarray[Any, np.dtype[np.bool_]] = (
        below & above & (x > 0.2 * (height - 1 - y)) & (x < width - 1 - 0.2 * y)
    )
    return within


def test_the_black_collar_is_not_observed_and_black_within_is() -> None:
    pixels, footprint = smooth(150, 200), turned(150, 200)
    pixels[~footprint] = 0
    pixels[70:80, 90:100] = 0
    raster = opened(write(pixels, tiled=True, blockxsize=64, blockysize=64))
    read, observed = whole(raster)
    assert (observed == footprint).all()
    assert raster.info.notices == ("black border around the image is not classified",)
    part, seen = raster.read(slice(20, 90), slice(10, 180))
    assert (seen == footprint[20:90, 10:180]).all()
    assert (part == read[20:90, 10:180]).all()


def test_the_collar_of_a_lossy_file_is_nearly_black() -> None:
    pixels, footprint = smooth(160, 192), turned(160, 192)
    pixels[~footprint] = 0
    data = write(pixels, compress="jpeg", photometric="ycbcr", tiled=True, blockxsize=64, blockysize=64)
    _, observed = whole(opened(data))
    assert (observed != footprint).mean() < 0.06  # the blocks on the border ring


@pytest.mark.parametrize(
    ("kind", "offset"),
    [(np.int32, 2_000_000_000), (np.uint32, 4_000_000_000), (np.int64, 1 << 40), (np.float64, 1e12), (np.uint16, 0)],
)
def test_samples_far_from_zero_are_told_apart(kind: Any, offset: float) -> None:
    picture = smooth(64, 96)
    far, near = (
        whole(opened(write(samples, photometric="rgb")))[0]
        for samples in ((picture.astype(np.float64) + offset).astype(kind), picture.astype(np.int16))
    )
    np.testing.assert_array_equal(far, near)


def test_the_collar_does_not_count_in_the_stretch() -> None:
    values = np.random.default_rng(0).integers(8000, 9000, (200, 200, 3)).astype(np.uint16)
    values[:, :60] = 0
    read, observed = whole(opened(write(values, photometric="rgb")))
    assert not observed[:, :60].any()
    assert observed[:, 60:].all()
    assert read[observed].mean() == pytest.approx(127, abs=10)


def test_all_black_was_not_observed() -> None:
    _, observed = whole(opened(write(np.zeros((64, 64, 3), np.uint8))))
    assert not observed.any()


@pytest.mark.parametrize("name", ["puertorico_pre_tile_0_107.tif", "joplin_post_wgs84_tile_31500-5137.tif"])
def test_real_files_are_read(name: str) -> None:
    if not SAMPLES.is_dir():
        pytest.skip("no real samples: ../shared/data/format_samples/geotiff is not there")
    raster = opened((SAMPLES / name).read_bytes())
    pixels, observed = whole(raster)
    assert raster.info.grid is not None
    assert 0.2 < raster.info.grid.gsd[0] < 0.6
    assert observed.mean() > 0.99
    assert 40 < pixels.mean() < 200
