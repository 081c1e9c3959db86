"""Files that are no image to be served, each refused with its reason, and none with GDAL's words."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.rpc import RPC

from gateway.errors import (
    BandsUnsuitable,
    CompressionUnsupported,
    GeometryUnsuitable,
    ImageTooLarge,
    ImageUnreadable,
    ImageUnsuitable,
    MaskgateError,
    Unprocessable,
    UnsupportedMedia,
)
from gateway.media.gdal import contained
from gateway.media.geo.ground_rasters import GroundFile
from gateway.media.pictures.images import ImageLimits
from tests.support.geotiffs import LIMITS, grid, opened, smooth, whole, write

SMALL = ImageLimits(max_pixels=5_000, max_side=90, min_side=16)
PICTURE = smooth(64, 80)


def entries(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A little-endian directory of (tag, type, count, value or offset)."""
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<H", len(tags)) + body + struct.pack("<I", following)


def tiff(
    width: int, height: int, *more: tuple[int, int, int, int], data: bytes = bytes(64), following: int = 0
) -> bytes:
    """A TIFF of one strip, at byte 8, before its directory; `more` replaces entries of the same tag."""
    tags = {
        254: (254, 4, 1, 0),
        256: (256, 4, 1, width),
        257: (257, 4, 1, height),
        258: (258, 3, 1, 8),
        259: (259, 3, 1, 1),
        262: (262, 3, 1, 1),
        273: (273, 4, 1, 8),
        277: (277, 3, 1, 1),
        278: (278, 4, 1, height),
        279: (279, 4, 1, len(data)),
    }
    tags |= {entry[0]: entry for entry in more}
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + entries(*sorted(tags.values()), following=following)


def placed(crs: Any, affine: Affine | None, **profile: Any) -> bytes:
    with contained(), MemoryFile(ext=".tif") as memory:
        place = {name: value for name, value in (("crs", crs), ("transform", affine)) if value is not None}
        with memory.open(driver="GTiff", width=80, height=64, count=3, dtype="uint8", **place, **profile) as file:
            file.write(np.moveaxis(PICTURE, 2, 0))
        return bytes(memory.getbuffer())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II",
        b'<VRTDataset rasterXSize="1" rasterYSize="1"><SRS/></VRTDataset>',
        b"/vsicurl/http://127.0.0.1/a.tif",
        b"http://127.0.0.1:9/a.tif",
        b"<GDAL_WMS></GDAL_WMS>",
        b"\x89PNG\r\n\x1a\n",
        b"GTIFF_DIR:1:/etc/passwd",
    ],
)
def test_whatever_else_gdal_reads_is_no_tiff(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        opened(data)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (tiff(230_000, 230_000), ImageTooLarge, "230000×230000"),
        (tiff(2**32 - 1, 2**32 - 1), ImageTooLarge, "side"),
        (tiff(0, 64), ImageUnreadable, "size"),
        (tiff(64, 64, (277, 3, 1, 5000)), ImageUnreadable, "bands"),
        (tiff(64, 64, (279, 4, 1, 0)), ImageUnreadable, "no pixels"),
        (tiff(64, 64, (254, 4, 1, 1)), ImageUnreadable, "overviews"),
        (tiff(64, 64, (254, 4, 1, 4)), ImageUnreadable, "mask"),
        (tiff(64, 64, (279, 4, 1, 70_000)), ImageUnreadable, "cut short"),
        (tiff(64, 64, (273, 4, 1, 2**32 - 8)), ImageUnreadable, "cut short"),
        (tiff(64, 64, (273, 4, 2**30, 8)), ImageUnreadable, "damaged"),
        (tiff(64, 64, (278, 4, 1, 16)), ImageUnreadable, "damaged"),  # four strips, and offsets of one
        (tiff(64, 64, (274, 3, 1, 6)), ImageUnsuitable, "turned"),
        (tiff(64, 64, (262, 3, 1, 8)), BandsUnsuitable, "neither grey, RGB, CMYK nor of a palette"),
        (tiff(64, 64, (259, 3, 1, 6)), CompressionUnsupported, "ZSTD"),
        (tiff(64, 64, (259, 3, 1, 34661)), CompressionUnsupported, "ZSTD"),
        (tiff(8_100, 8_100, (259, 3, 1, 8), (277, 3, 1, 3)), ImageUnsuitable, "pieces of 8100×8100"),
        (tiff(8, 64), ImageUnsuitable, "at least 16"),
        (b"II*\0" + struct.pack("<I", 4_000_000), ImageUnreadable, "damaged"),
        (b"II*\0" + struct.pack("<I", 0), ImageUnreadable, "damaged"),
        (b"II*\0\x08\0\0\0\xff\xff", ImageUnreadable, "damaged"),
        (b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63), ImageUnreadable, "damaged"),
    ],
)
def test_what_the_directory_declares_is_judged_before_gdal_sees_it(
    data: bytes, error: type[MaskgateError], says: str
) -> None:
    with pytest.raises(error) as refused:
        opened(data)
    assert type(refused.value) is error
    assert says in refused.value.detail


def test_the_tiff_of_these_tests_is_read_where_nothing_is_wrong_with_it() -> None:
    pixels, _ = whole(opened(tiff(64, 64, data=bytes(range(64)) * 64)))
    assert (pixels[:, 5] == 5).all()


def test_directories_that_lead_to_each_other_end() -> None:
    with pytest.raises(ImageUnreadable, match="256 images"):
        opened(tiff(64, 64, following=8 + 64))


@pytest.mark.parametrize(("limits", "says"), [(SMALL, "5,000"), (ImageLimits(1 << 20, 70, 16), "may have 70")])
def test_sizes_beyond_the_limits_are_refused(limits: ImageLimits, says: str) -> None:
    with pytest.raises(ImageTooLarge, match=says):
        opened(write(PICTURE), limits)


def test_every_cut_is_noticed() -> None:
    data = write(PICTURE, compress="deflate", tiled=True, blockxsize=16, blockysize=16)
    for end in range(8, len(data), 97):
        with pytest.raises(ImageUnreadable):
            opened(data[:end])


def test_damaged_pixels_are_noticed_where_they_are_read() -> None:
    noise = np.random.default_rng(0).integers(1, 256, (64, 64, 3), np.uint8)
    data = bytearray(write(noise, compress="deflate", tiled=True, blockxsize=16, blockysize=16))
    data[-5000:-4000] = bytes(1000)
    raster = opened(bytes(data))
    with pytest.raises(ImageUnreadable) as refused:
        whole(raster)
    assert refused.value.detail == "The TIFF image is cut short or damaged."
    assert refused.value.__cause__ is None


@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=12),
    st.sampled_from([write(PICTURE, grid(80, 64)), write(PICTURE, BIGTIFF="YES", compress="lzw")]),
)
def test_no_damage_is_answered_in_the_words_of_a_library(damage: list[tuple[int, int]], data: bytes) -> None:
    damaged = bytearray(data)
    for position, value in damage:
        damaged[position] = value
    with suppress(ImageTooLarge, UnsupportedMedia, Unprocessable):
        raster = opened(bytes(damaged))
        whole(raster)
        raster.close()


@pytest.mark.parametrize("bands", [2, 5, 12])
def test_bands_without_names_are_refused(bands: int) -> None:
    pixels = np.ones((64, 64, bands), np.uint8)
    with pytest.raises(BandsUnsuitable, match=f"{bands} bands.*red, green and blue"):
        opened(write(pixels, photometric="minisblack", alpha="no", colorinterp=[ColorInterp.undefined] * bands))


@pytest.mark.parametrize("kind", ["complex64", "complex128", "complex_int16"])
def test_complex_samples_are_refused(kind: str) -> None:
    data = write(np.ones((64, 64, 1), np.complex64 if kind == "complex_int16" else kind), kind=kind)
    with pytest.raises(BandsUnsuitable, match="complex"):
        opened(data)
    with pytest.raises(BandsUnsuitable, match="one band"):
        GroundFile(memoryview(data), LIMITS, classes=False)


UTM_HERE = Affine(0.5, 0, 366_642.5, 0, -0.5, 4_104_511)


@pytest.mark.parametrize(
    ("crs", "affine", "says"),
    [
        (None, UTM_HERE, "no coordinate reference system"),
        ("EPSG:32615", None, "no transform"),
        ('LOCAL_CS["here",UNIT["metre",1]]', UTM_HERE, "neither of degrees nor a projection"),
        ("EPSG:4978", UTM_HERE, "neither of degrees nor a projection"),
        ("EPSG:5773", UTM_HERE, "neither of degrees nor a projection"),
        ("EPSG:32615", Affine(0.5, 0.5, 366_642.5, 0.5, 0.5, 4_104_511), "not one from pixels to places"),
        ("EPSG:4326", Affine(1e-5, 0, -94.5, 0, -1e-5, 95), "no point of the Earth"),
        ("EPSG:4326", Affine(1e-5, 0, -94.5, 0, -1e-5, 4_104_511), "no point of the Earth"),
        ("EPSG:32615", Affine(0.5, 0, 9e9, 0, -0.5, 4_104_511), "."),
        ("EPSG:3857", Affine(1, 0, 20_037_500, 0, -1, 1_000_000), "beyond the edge"),
        ("EPSG:3413", Affine(0.5, 0, -20, 0, -0.5, 16), "over a pole"),
        ("+proj=utm +zone=15 +ellps=clrk66 +nadgrids=/etc/passwd", UTM_HERE, "broken"),
    ],
)
def test_geography_that_cannot_be_relied_on_is_refused(crs: str | None, affine: Affine | None, says: str) -> None:
    with pytest.raises(GeometryUnsuitable, match=re.escape(says) if says != "." else says):
        opened(placed(crs, affine))


def test_control_points_are_no_grid() -> None:
    points = [GroundControlPoint(y, x, -94 + x / 1e5, 37 - y / 1e5) for x in (0, 80) for y in (0, 64)]
    with pytest.raises(GeometryUnsuitable, match="control points"):
        opened(placed("EPSG:4326", None, gcps=points))


def test_the_pole_itself_is_not_served_and_its_neighbourhood_is() -> None:
    raster = opened(placed("EPSG:3413", Affine(0.5, 0, 4, 0, -0.5, 2_000)))
    assert raster.info.grid is not None
    assert raster.info.grid.centre[1] > 89.9
    assert raster.info.grid.gsd == pytest.approx((0.5, 0.5), rel=0.04)  # the projection is true at 70° north


def test_gdal_looks_at_nothing_but_the_bytes() -> None:
    from rasterio._env import get_gdal_config

    with contained():
        kept = {name: get_gdal_config(name) for name in ("GDAL_DISABLE_READDIR_ON_OPEN", "GDAL_PAM_ENABLED")}
        assert kept == {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
        assert get_gdal_config("GDAL_CACHEMAX") == 128 * 1024 * 1024


def test_files_beside_it_are_not_found() -> None:
    """The same bytes with a world file, an overview and metadata beside them, under the name they have."""
    import rasterio

    with contained(), MemoryFile(write(PICTURE), dirname="neighbours", filename="image.tif") as memory:
        beside = [
            ("image.tfw", b"1\n0\n0\n-1\n500000\n4000000\n"),
            ("image.tif.aux.xml", b"<PAMDataset><SRS>EPSG:32615</SRS></PAMDataset>"),
            ("image.tif.ovr", write(PICTURE[::2, ::2])),
            ("image.tif.msk", write(PICTURE[:, :, :1])),
        ]
        files = [MemoryFile(body, dirname="neighbours", filename=name) for name, body in beside]
        with rasterio.open(memory.name, driver="GTiff") as dataset:
            assert (dataset.transform.is_identity, dataset.crs, dataset.overviews(1)) == (True, None, [])
            assert dataset.files == [memory.name]
            assert (dataset.read_masks(1) == 255).all()
        for file in files:
            file.close()


def test_a_sensor_model_is_no_grid() -> None:
    ones = [1.0, *[0.0] * 19]
    model = RPC(
        height_off=0,
        height_scale=1,
        lat_off=37,
        lat_scale=1,
        line_den_coeff=ones,
        line_num_coeff=ones,
        line_off=0,
        line_scale=1,
        long_off=-94,
        long_scale=1,
        samp_den_coeff=ones,
        samp_num_coeff=ones,
        samp_off=0,
        samp_scale=1,
    )
    with pytest.raises(GeometryUnsuitable, match="sensor model"):
        opened(placed(None, None, rpcs=model))
