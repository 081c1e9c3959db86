"""Tiles and strips in JPEG are what GDAL makes of them, whoever decodes them, and trouble is left to GDAL."""

from __future__ import annotations

import contextlib
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from gateway.errors import ImageUnreadable
from gateway.media.gdal import contained
from gateway.media.geo import jpeg_blocks
from gateway.media.geo.jpeg_blocks import JpegBlocks
from tests.support.geotiffs import grid, opened, smooth, whole, write

TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "jpeg"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "YCbCr": {**TILED, "photometric": "ycbcr"},
    "RGB": {**TILED, "photometric": "rgb"},
    "strips, the last one short": {"compress": "jpeg", "photometric": "ycbcr", "blockysize": 32},
    "with all tables in each tile": {**TILED, "photometric": "ycbcr", "JPEGTABLESMODE": 0},
    "big-endian BigTIFF": {**TILED, "photometric": "ycbcr", "ENDIANNESS": "BIG", "BIGTIFF": "YES"},
}


def by_gdal(data: bytes) -> np.ndarray:
    with contained(), MemoryFile(data) as memory, memory.open() as dataset:
        return np.moveaxis(dataset.read(), 0, 2)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return, for each window that was asked for, whether it was decoded here."""
    answers: list[bool] = []
    read = JpegBlocks.read

    def noted(self: JpegBlocks, rows: slice, columns: slice, out: Any) -> bool:
        answers.append(read(self, rows, columns, out))
        return answers[-1]

    monkeypatch.setattr(JpegBlocks, "read", noted)
    return answers


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_are_gdals_but_for_how_colours_are_enlarged(layout: str, decoded: list[bool]) -> None:
    pixels = smooth(150, 200)
    data = write(pixels, grid(200, 150), **LAYOUTS[layout])
    raster = opened(data)
    read, observed = whole(raster)
    assert decoded
    assert all(decoded)
    assert observed.all()
    difference = np.abs(read.astype(int) - by_gdal(data))
    assert (difference.max() <= 8, difference.mean() < 0.5) == (True, True)
    assert np.abs(read.astype(int) - pixels).mean() < 3
    for rows, columns in ((slice(0, 1), slice(199, 200)), (slice(60, 130), slice(63, 129))):
        part, _ = raster.read(rows, columns)
        assert np.array_equal(part, read[rows, columns])
    raster.close()


def test_other_bands_and_masks_are_gdals(decoded: list[bool]) -> None:
    pixels = smooth(150, 200)
    mask = np.zeros((150, 200), np.uint8)
    mask[20:] = 255
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        raster = opened(write(pixels, grid(200, 150), mask=mask, **LAYOUTS["YCbCr"]))
    read, observed = whole(raster)
    assert all(decoded)
    assert np.array_equal(observed, mask > 0)
    assert not read[:20].any()
    grey = opened(write(pixels[..., :1], grid(200, 150), **TILED))
    decoded.clear()
    whole(grey)
    assert not decoded


def _spoilt(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def _frame(height: int, width: int) -> bytes:
    return b"\xff\xc0\x00\x11\x08" + height.to_bytes(2) + width.to_bytes(2) + b"\x03"


def test_a_frame_of_another_size_is_never_decoded(decoded: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(smooth(150, 200), grid(200, 150), **LAYOUTS["YCbCr"])
    raster = opened(data)
    whole(raster)
    assert all(decoded)

    def refused(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", refused)
    # 12 GiB, if they were believed.
    larger = _spoilt(data, _frame(64, 64), _frame(65_535, 65_535))
    decoded.clear()
    with contextlib.suppress(ImageUnreadable):
        whole(opened(larger))
    assert decoded
    assert not any(decoded)


@pytest.mark.parametrize("tail", [b"\0\0", b"\xff\xd8"])
def test_a_tile_that_does_not_end_is_left_to_gdal(tail: bytes, decoded: list[bool]) -> None:
    data = write(smooth(64, 64), grid(64, 64), **LAYOUTS["YCbCr"])
    end = data.rindex(b"\xff\xd9")
    with contextlib.suppress(ImageUnreadable):
        whole(opened(data[:end] + tail + data[end + 2 :]))
    assert decoded
    assert not any(decoded)


def test_what_was_decoded_is_kept_up_to_a_bound_and_forgotten_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    times = 0
    decode = cv2.imdecode

    def counted(*arguments: Any) -> Any:
        nonlocal times
        times += 1
        return decode(*arguments)

    monkeypatch.setattr(cv2, "imdecode", counted)
    # Three rows of four tiles of 12 KiB each, and room for five of them.
    monkeypatch.setattr(jpeg_blocks, "_KEPT", kept := jpeg_blocks._Kept(5 * 64 * 64 * 3, 0, 0))
    raster = opened(write(smooth(192, 256), grid(256, 192), **LAYOUTS["YCbCr"]))
    kept.forget(next(iter(kept._begun.parts))[0])
    times = 0

    def row(number: int) -> None:
        raster.read(slice(64 * number, 64 * number + 63), slice(0, 256))

    row(1)
    row(1)
    assert times == 4
    row(2)
    row(1)
    assert times == 12
    # Whoever has read a block to its end goes on below it.
    raster.read(slice(0, 64), slice(0, 256))
    raster.read(slice(0, 64), slice(0, 256))
    assert times == 20
    assert kept.bytes == 5 * 64 * 64 * 3
    raster.close()
    assert (kept.bytes, len(kept._begun.parts)) == (0, 0)


def test_of_blocks_that_windows_have_passed_the_last_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a warped image reach some pixels into the blocks above and beside theirs."""
    times, decode, side = 0, cv2.imdecode, 128

    def counted(*arguments: Any) -> Any:
        nonlocal times
        times += 1
        return decode(*arguments)

    layout = LAYOUTS["YCbCr"] | {"blockxsize": side, "blockysize": side}
    raster = opened(write(smooth(512, 512), grid(512, 512), **layout))
    expected, _ = whole(raster)
    block = side * side * 3
    monkeypatch.setattr(cv2, "imdecode", counted)
    # Room for a row of four that windows come into, two beside, and the ends of two rows.
    monkeypatch.setattr(jpeg_blocks, "_KEPT", kept := jpeg_blocks._Kept(6 * block, 2 * block, 4 * block))

    def around(start: int) -> slice:
        return slice(max(start - 3, 0), min(start + side + 2, 512))

    for top in range(0, 512, side):
        for left in range(0, 512, side):
            rows, columns = around(top), around(left)
            read, _ = raster.read(rows, columns)
            assert np.array_equal(read, expected[rows, columns])
    assert times == 16
    raster.close()
    assert kept.bytes == 0
