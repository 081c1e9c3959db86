"""What a file declares is believed, what is no declaration is not, and what is undeclared is recognised and said."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from gateway.media.geo.alignment import warped
from gateway.media.geo.geotiff import open_geotiff
from gateway.media.geo.reading import Reading
from tests.support.geotiffs import LIMITS, grid, opened, smooth, whole, write

SIDE = 128
PICTURE = smooth(SIDE, SIDE)
HALF = np.zeros((SIDE, SIDE), np.bool_)
HALF[:, 50:] = True


def near_infrared() -> Any:
    noise = np.random.default_rng(1).normal(20, 30, (SIDE, SIDE))
    return np.clip(PICTURE[..., 1] + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_near_infrared_that_is_flagged_alpha_hides_nothing(dtype: type) -> None:
    scale = np.iinfo(dtype).max // 255
    pixels = np.dstack([PICTURE, near_infrared()]).astype(dtype) * dtype(scale)
    raster = opened(write(pixels, photometric="rgb", alpha="yes"))
    _, observed = whole(raster)
    assert observed.all()
    assert "band 4 is declared alpha and holds a picture; it hides nothing" in raster.info.notices
    assert "1 more bands are not used" in raster.info.notices


@pytest.mark.parametrize(
    ("dtype", "opaque"), [(np.uint8, 1), (np.uint8, 255), (np.uint16, 1), (np.uint16, 255), (np.uint16, 65535)]
)
def test_alpha_is_opaque_where_it_is_highest(dtype: type, opaque: int) -> None:
    alpha: Any = np.where(HALF, opaque, 0).astype(dtype)
    _, observed = whole(opened(write(np.dstack([PICTURE.astype(dtype), alpha]), photometric="rgb", alpha="yes")))
    assert (observed == HALF).all()


def test_a_soft_edge_of_alpha_is_cut_in_its_middle() -> None:
    alpha = np.clip((np.arange(SIDE) - 40) * 25, 0, 255).astype(np.uint8)
    pixels = np.dstack([PICTURE, np.broadcast_to(alpha, (SIDE, SIDE))])
    _, observed = whole(opened(write(pixels, photometric="rgb", alpha="yes")))
    assert (observed == (alpha > 127)).all()


def test_a_mask_of_one_bit_per_band_is_a_mask() -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[20:110, 20:110] = 1
    bits = np.packbits(np.repeat(mask[..., None], 3, 2).reshape(SIDE, -1), axis=1).tobytes()
    image = PICTURE.tobytes()

    def directory(following: int, sub: int, photometric: int, at: int, size: int, bits_at: int) -> bytes:
        tags = [
            *((254, 4, 1, sub), (256, 4, 1, SIDE), (257, 4, 1, SIDE), (258, 3, 3, bits_at), (259, 3, 1, 1)),
            *((262, 3, 1, photometric), (273, 4, 1, at), (277, 3, 1, 3), (278, 4, 1, SIDE), (279, 4, 1, size)),
            (284, 3, 1, 1),
        ]
        body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        return struct.pack("<H", len(tags)) + body + struct.pack("<I", following)

    at = 20
    first = at + len(image) + len(bits)
    second = first + 2 + 11 * 12 + 4
    head = struct.pack("<2sHI", b"II", 42, first) + struct.pack("<3H", 8, 8, 8) + struct.pack("<3H", 1, 1, 1)
    data = (
        *(head, image, bits, directory(second, 0, 2, at, len(image), 8)),
        directory(0, 4, 4, at + len(image), len(bits), 14),
    )
    _, observed = whole(opened(b"".join(data)))
    assert (observed == (mask > 0)).all()


FILLS: dict[str, tuple[Any, float]] = {
    "float": (PICTURE.astype(np.float32) / 255, -9999),
    "lowest float": (PICTURE.astype(np.float32) / 255, -3.4028234663852886e38),
    "uint16": (PICTURE.astype(np.uint16) * 20, 65535),
    "int16": (PICTURE.astype(np.int16) * 20, -32768),
    "two of them": (PICTURE.astype(np.float32) / 255, 1e20),
}


@pytest.mark.parametrize("name", FILLS)
def test_an_undeclared_fill_value_is_recognised_and_said(name: str) -> None:
    pixels, fill = FILLS[name]
    pixels = pixels.copy()
    pixels[~HALF] = fill
    pixels[60:70, 60:80] = fill
    shown = HALF.copy()
    shown[60:70, 60:80] = False
    if name == "two of them":
        pixels[100:, 100:] = -9999
        shown[100:, 100:] = False
    raster = opened(write(pixels, photometric="rgb"))
    read, observed = whole(raster)
    assert (observed == shown).all()
    assert any("is taken for nothing observed" in notice for notice in raster.info.notices)
    # Had the fill been stretched with the rest, all of the rest would be one grey.
    assert read[observed].std() > 40


def test_saturated_ground_is_no_fill() -> None:
    hills = (np.sin(np.arange(SIDE) / 9) + np.sin(np.arange(SIDE) / 7)[:, None]) * 30_000 + 30_000
    bright = hills.clip(1, 65535).astype(np.uint16)
    assert (bright == 65535).mean() > 0.05
    raster = opened(write(np.stack([bright] * 3, -1), photometric="rgb"))
    assert whole(raster)[1].all()
    assert not any("taken for nothing" in notice for notice in raster.info.notices)


def test_black_ground_beside_what_is_declared_is_ground() -> None:
    mask = np.where(HALF, 255, 0).astype(np.uint8)
    water = PICTURE.copy()
    water[~HALF] = 0
    water[:40] = 0
    files = {
        "mask": write(water, mask=mask),
        "alpha": write(np.dstack([water, mask]), photometric="rgb", alpha="yes"),
        "nodata": write(np.where(HALF[..., None], water, np.uint8(255)), nodata=255),
    }
    for name, data in files.items():
        raster = opened(data)
        assert (whole(raster)[1] == HALF).all(), name
        assert not any("border" in notice for notice in raster.info.notices)


def test_dark_water_beside_the_mask_of_a_lossy_file_is_ground() -> None:
    mask = np.where(HALF, 255, 0).astype(np.uint8)
    water = np.where(HALF[..., None], np.uint8(9), np.uint8(0)).repeat(3, axis=2)
    water[64:] = PICTURE[64:]
    data = write(water, mask=mask, compress="jpeg", photometric="ycbcr", tiled=True, blockxsize=64, blockysize=64)
    assert (whole(opened(data))[1] == HALF).all()


@pytest.mark.parametrize("colour", [(255, 255, 255), (128, 128, 128), (255, 0, 255)])
def test_a_border_of_one_colour_is_recognised_and_said(colour: tuple[int, int, int]) -> None:
    pixels = PICTURE.copy()
    pixels[~HALF] = colour
    pixels[64:70, 90:100] = colour
    raster = opened(write(pixels))
    assert (whole(raster)[1] == HALF).all()
    assert raster.info.notices == ("border of one colour around the image is not classified",)


def test_a_few_white_pixels_in_a_corner_are_a_roof() -> None:
    pixels = PICTURE.copy()
    pixels[:12, :12] = 255
    raster = opened(write(pixels))
    assert whole(raster)[1].all()
    assert raster.info.notices == ()


def test_the_callers_nodata_goes_before_the_files() -> None:
    pixels = PICTURE.copy()
    pixels[~HALF] = 7
    data = write(pixels, nodata=250)
    assert whole(opened(data))[1].all()
    raster = open_geotiff(data, LIMITS, Reading(nodata=7))
    assert (whole(raster)[1] == HALF).all()
    floats = np.where(HALF[..., None], PICTURE / np.float32(255), np.float32(-1.5)).astype(np.float32)
    assert (whole(open_geotiff(write(floats), LIMITS, Reading(nodata=-1.5)))[1] == HALF).all()
    assert whole(open_geotiff(write(PICTURE), LIMITS, Reading(nodata=float("nan"))))[1].all()


@pytest.mark.parametrize("kind", ["alpha of 1", "near infrared", "mask", "fill", "white border"])
def test_gdals_own_warping_observes_the_same(kind: str) -> None:
    """Where coordinates cannot be interpolated GDAL warps, which has other ideas of alpha and nodata."""
    place = grid(SIDE, SIDE)
    shown = HALF.astype(np.uint8)
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    data = {
        "alpha of 1": lambda: write(np.dstack([PICTURE, shown]), place, photometric="rgb", alpha="yes"),
        "near infrared": lambda: write(np.dstack([PICTURE, near_infrared()]), place, photometric="rgb", alpha="yes"),
        "mask": lambda: write(PICTURE, place, mask=shown * 255),
        "fill": lambda: write(
            np.where(HALF[..., None], PICTURE / np.float32(255), np.float32(-9999)), place, colorinterp=colours
        ),
        "white border": lambda: write(np.where(HALF[..., None], PICTURE, np.uint8(255)), place),
    }[kind]()
    raster = opened(data)
    pixels, observed = whole(raster)
    theirs, observed_there = whole(warped(raster, place, place, (0, 0)))
    assert (observed_there == observed).all()
    assert np.abs(theirs[observed].astype(int) - pixels[observed]).max() <= 1
    assert observed.mean() == (1 if kind == "near infrared" else HALF.mean())
