"""Bands are those that the caller says, that are named so, or that the file declares."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from gateway.errors import BandsUnsuitable, ImageUnreadable, ParameterInvalid
from gateway.media.geo.bands import named_colours
from gateway.media.geo.geotiff import open_geotiff
from gateway.media.geo.reading import Reading, parse_bands, parse_crs, parse_nodata
from tests.support.geotiffs import LIMITS, opened, smooth, whole, write

PICTURE = smooth(96, 112)

NAMES = {
    "PlanetScope": (("blue", "green", "red", "nir"), (3, 2, 1)),
    "RapidEye": (("Blue", "Green", "Red", "Red edge", "NIR"), (3, 2, 1)),
    "PlanetScope of eight": (
        ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"),
        (6, 4, 2),
    ),
    "WorldView": (("Coastal", "Blue", "Green", "Yellow", "Red", "Red Edge", "NIR1", "NIR2"), (5, 3, 2)),
    "WorldView's letters": (("C", "B", "G", "Y", "R", "RE", "N", "N2"), (5, 3, 2)),
    "NAIP": (("Red", "Green", "Blue", "NIR"), (1, 2, 3)),
    "Sentinel-2": (("B01", "B02", "B03", "B04", "B05", "B08"), (4, 3, 2)),
    "Sentinel-2 by GDAL": (
        ("B4, central wavelength 665 nm", "B3, central wavelength 560 nm", "B2, central wavelength 490 nm"),
        (1, 2, 3),
    ),
    "a sentence": (("Band 1 - Red (630-680 nm)", "Band 2 - Green", "Band 3 - Blue"), (1, 2, 3)),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_bands_are_read(name: str) -> None:
    names, expected = NAMES[name]
    assert named_colours(names) == expected


@pytest.mark.parametrize("names", [("red", "green", "nir"), ("red", "red", "green", "blue"), (None, None, None), ()])
def test_names_that_leave_a_colour_open_say_nothing(names: tuple[str | None, ...]) -> None:
    assert named_colours(names) is None


def test_names_go_before_declared_colours() -> None:
    raster = opened(write(PICTURE, photometric="rgb", descriptions=("blue", "green", "red")))
    assert (whole(raster)[0] == PICTURE[..., ::-1]).all()
    assert raster.info.notices == ("bands 3, 2 and 1 are red, green and blue by their names",)


def test_the_caller_goes_before_names() -> None:
    five = np.dstack([PICTURE, PICTURE[..., :2] // 2])
    data = write(five, photometric="minisblack", descriptions=("blue", "green", "red", "a", "b"))
    assert (whole(open_geotiff(data, LIMITS, Reading(bands=(5, 4, 1))))[0] == five[..., [4, 3, 0]]).all()
    grey = whole(open_geotiff(data, LIMITS, Reading(bands=(2,))))[0]
    assert (grey == PICTURE[..., 1:2]).all()
    with pytest.raises(ParameterInvalid, match="5 bands"):
        open_geotiff(data, LIMITS, Reading(bands=(1, 2, 6)))


def test_bands_that_nobody_names_are_refused_and_the_parameter_named() -> None:
    with pytest.raises(BandsUnsuitable, match="`bands` says which"):
        opened(write(np.dstack([PICTURE, PICTURE[..., :2]]), photometric="minisblack"))


@pytest.mark.parametrize("text", ["", "0", "1,2", "1,2,3,4", "1;2;3", "a", "-1", "1,2,300"])
def test_what_is_no_bands_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        parse_bands(text)


@pytest.mark.parametrize("text", ["", "x", "1e", "--1", "1,2", "inf", "/etc/passwd"])
def test_what_is_no_nodata_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        parse_nodata(text)


def test_nodata_is_a_number_or_nan() -> None:
    assert [parse_nodata(text) for text in ("-9999", "0", "-3.4028235e38", ".5")] == [-9999, 0, -3.4028235e38, 0.5]
    assert np.isnan(parse_nodata("NaN"))


@pytest.mark.parametrize("text", ["", "WGS84", "EPSG:1", "EPSG:999999", "/vsicurl/http://127.0.0.1/a", "+proj=utm"])
def test_what_is_no_code_of_epsg_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        parse_crs(text)


def test_a_code_of_epsg_is_a_reference_system() -> None:
    assert parse_crs("epsg:32633") == parse_crs("32633")


def test_a_palette_is_expanded() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3))
    indices = np.random.default_rng(1).integers(0, 256, (64, 80, 1), np.uint8)
    table = {value: (*map(int, colour), 255) for value, colour in enumerate(colours)}
    raster = opened(write(indices, colormap=table, photometric="palette"))
    assert not any("grey" in notice for notice in raster.info.notices)
    read, observed = whole(raster)
    assert (read == colours[indices[..., 0]]).all()
    assert observed.all()
    assert raster.info.notices == ()


def test_inverted_grey_is_turned() -> None:
    grey = PICTURE[..., :1]
    read, observed = whole(opened(write(255 - grey, photometric="miniswhite")))
    assert (read == grey).all()
    assert observed.all()
    deep = grey.astype(np.uint16) * 16
    turned, _ = whole(opened(write(4095 - deep, photometric="miniswhite")))
    plain, _ = whole(opened(write(deep, photometric="minisblack")))
    assert np.abs(turned.astype(int) - plain).max() <= 1


def test_inks_are_brought_to_light() -> None:
    light = PICTURE.astype(np.float64) / 255
    black = 1 - light.max(axis=2)
    inks = 1 - light / (1 - black)[..., None]
    pixels = np.rint(np.dstack([inks, black]) * 255).astype(np.uint8)
    raster = opened(write(pixels, photometric="cmyk"))
    read, observed = whole(raster)
    assert np.abs(read.astype(int) - PICTURE).max() <= 2
    assert observed.all()
    assert raster.info.notices == ("CMYK is brought to RGB without a colour profile",)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_reach_from_black_to_white(bits: int) -> None:
    most = (1 << bits) - 1
    values = np.random.default_rng(0).integers(0, most + 1, (64, 64, 1), np.uint8)
    read, observed = whole(opened(write(values, nbits=bits, photometric="minisblack")))
    assert (read == np.rint(values * (255 / most))).all()
    assert observed.all()


def test_wrong_sizes_of_plain_strips_are_passed_over() -> None:
    data = bytearray(write(PICTURE, blockysize=1))
    (at,) = struct.unpack_from("<I", data, 4)
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        tag, kind, count, value = struct.unpack_from("<HHII", data, entry)
        if tag == 279:
            struct.pack_into("<" + "HI"[kind == 4] * count, data, value, *([60_000] * count))
    read, observed = whole(opened(bytes(data)))
    assert (read == PICTURE).all()
    assert observed.all()


def test_strips_beyond_the_end_are_cut_short_all_the_same() -> None:
    data = cv2.imencode(".tif", PICTURE, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()
    # Its directory comes last: brought forward, the pixels end early.
    (at,) = struct.unpack_from("<I", data, 4)
    cut = data[:4] + struct.pack("<I", 8) + data[at:]
    with pytest.raises(ImageUnreadable):
        opened(cut)
