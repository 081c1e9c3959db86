"""Every bad scene is a clear problem document, none a 500, and the next request is unharmed."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from affine import Affine

from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.pictures import encode, noise

PIXELS = noise(96, 96) // 2 + 1
GOOD = write(PIXELS, grid(96, 96))
PICTURE = encode(PIXELS)
ANTIMERIDIAN = grid(96, 96, "EPSG:32660", Affine(0.5, 0, 833_960, 0, -0.5, 111_000))
POLE = grid(96, 96, "EPSG:3413", Affine(500, 0, -24_000, 0, -500, 24_000))


@pytest.fixture(autouse=True)
def _next_request_is_unharmed(client: AppClient) -> Iterator[None]:
    yield
    assert client.post("/v1/damage", files={"pre": GOOD, "post": GOOD}).status_code == 200
    assert client.sample("maskgate_inflight_bytes") == 0


def expect(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["detail"].endswith(".")
    for leak in ("Traceback", "rasterio", "GDAL", "vsimem", "object at 0x", ".py", "/etc"):
        assert leak not in answer.text
    return problem


def declared(width: int, height: int, overview: bool = False) -> bytes:
    """Return a TIFF whose directory declares a size, or no more than an overview, and whose pixels are not there."""
    tags = {254: int(overview), 256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 64}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + struct.pack("<H", len(tags)) + body + bytes(4)


def of_bands(count: int) -> bytes:
    return write(np.dstack([PIXELS[..., :1]] * count), grid(96, 96), photometric="minisblack")


def with_broken_crs() -> bytes:
    data = write(PIXELS, grid(96, 96))
    code = struct.pack("<HHHH", 3072, 0, 1, 32615)
    assert code in data
    return data.replace(code, struct.pack("<HHHH", 3072, 0, 1, 32700 + 999))


VRT = (
    b'<VRTDataset rasterXSize="96" rasterYSize="96"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    b"<SourceFilename>%s</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
)
BAD_IMAGES = {
    "broken CRS": (with_broken_crs(), 422, "geometry-unsuitable"),
    "transform without CRS": (write(PIXELS, transform=grid(96, 96).affine), 422, "geometry-unsuitable"),
    "twelve bands": (of_bands(12), 422, "bands-unsuitable"),
    "two bands": (of_bands(2), 422, "bands-unsuitable"),
    "complex numbers": (write(PIXELS.astype(np.complex64), grid(96, 96)), 422, "bands-unsuitable"),
    "50 GB declared": (declared(230_000, 230_000), 413, "image-too-large"),
    "overviews only": (declared(96, 96, overview=True), 422, "image-unreadable"),
    "cut short": (GOOD[: len(GOOD) // 2], 422, "image-unreadable"),
    "over the pole": (write(PIXELS, POLE), 422, "geometry-unsuitable"),
    "too small": (write(PIXELS[:40, :40], grid(40, 40)), 422, "image-unsuitable"),
    "VRT of a file": (VRT % b"/etc/passwd", 415, "unsupported-media"),
    "VRT of a URL": (VRT % b"/vsicurl/http://127.0.0.1:1/a.tif", 415, "unsupported-media"),
    "a path": (b"/etc/passwd", 415, "unsupported-media"),
    "empty": (b"", 422, "image-unreadable"),
}


@pytest.mark.parametrize("part", ["pre", "post"])
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image(client: AppClient, name: str, part: str) -> None:
    data, status, code = BAD_IMAGES[name]
    problem = expect(client.post("/v1/damage", files={"pre": GOOD, "post": GOOD} | {part: data}), status, code)
    assert problem["errors"][0]["pointer"] == f"/{part}"
    if status == 413:
        assert problem["limit"] == 60_000
    if status == 415:
        assert "GeoTIFF, PNG or JPEG" in problem["detail"]


@pytest.mark.parametrize(
    "data",
    [
        of_bands(1),
        write(PIXELS.astype(np.float32) / 255, grid(96, 96)),
        write(PIXELS.astype(np.uint16) * 200, grid(96, 96)),
        write(PIXELS, grid(96, 96, affine=Affine.translation(366_642, 4_104_511) @ Affine.rotation(33))),
    ],
    ids=["one band", "float reflectance", "16 bits", "rotated"],
)
def test_what_is_unusual_and_sound_is_served(client: AppClient, data: bytes) -> None:
    for accept in ("application/geo+json", "image/tiff"):
        answer = client.post("/v1/damage", files={"pre": data, "post": data}, headers={"Accept": accept})
        assert answer.status_code == 200, answer.text


def test_the_antimeridian_is_passed(client: AppClient) -> None:
    pixels = noise(96, 96) // 8 + 1
    pixels[20:70, 20:70, 1] = 250
    data = write(pixels, ANTIMERIDIAN)
    answer = client.post("/v1/damage", files={"pre": data, "post": data}, headers={"Accept": "application/geo+json"})
    assert answer.status_code == 200, answer.text
    (feature,) = answer.json()["features"]
    longitudes = np.array([point[0] for point in np.concatenate([*_rings(feature["geometry"])])])
    assert (np.abs(longitudes) <= 180).all()
    assert (np.abs(longitudes) > 179).all()


def _rings(geometry: dict[str, Any]) -> Iterator[Any]:
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return (ring for polygon in polygons for ring in polygon)


def test_images_that_lie_apart(client: AppClient) -> None:
    far = write(PIXELS, grid(96, 96, affine=Affine.translation(5000, 0) @ grid(96, 96).affine))
    problem = expect(client.post("/v1/damage", files={"pre": GOOD, "post": far}), 422, "pair-apart")
    assert {shape["type"] for shape in problem["footprints"].values()} == {"Polygon"}
    assert set(problem["footprints"]) == {"pre", "post"}
    assert problem["errors"][0]["pointer"] == "/post"


def test_images_that_cannot_be_aligned(client: AppClient) -> None:
    other = write(noise(96, 96, seed=7), grid(96, 96))
    answer = client.post("/v1/damage?align=require", files={"pre": GOOD, "post": other})
    problem = expect(answer, 422, "pair-unaligned")
    assert set(problem["footprints"]) == {"pre", "post"}
    pictures = {"pre": PICTURE, "post": encode(noise(96, 96, seed=7))}
    assert "footprints" not in expect(client.post("/v1/damage?align=require", files=pictures), 422, "pair-unaligned")


@pytest.mark.parametrize("lost", ["pre", "post"])
@pytest.mark.parametrize("data", [PICTURE, write(PIXELS)], ids=["PNG", "TIFF"])
def test_one_with_geography_and_one_without(client: AppClient, lost: str, data: bytes) -> None:
    answer = client.post("/v1/damage", files={"pre": GOOD, "post": GOOD} | {lost: data})
    assert expect(answer, 422, "pair-mismatch")["errors"][0]["pointer"] == f"/{lost}"


def test_tiffs_without_geography_of_another_aspect(client: AppClient) -> None:
    files = {"pre": write(PIXELS), "post": write(np.tile(PIXELS, (2, 1, 1)))}
    expect(client.post("/v1/damage", files=files), 422, "pair-mismatch")


def test_a_picture_in_tiff_larger_than_pictures_may_be(start: Any) -> None:
    client = start(limits={"image_pixels": 64 * 64})
    problem = expect(
        client.post("/v1/damage", files={"pre": write(PIXELS), "post": write(PIXELS)}), 413, "image-too-large"
    )
    assert problem["errors"][0]["pointer"] == "/pre"


def test_geojson_of_pictures(client: AppClient) -> None:
    answer = client.post(
        "/v1/damage", files={"pre": PICTURE, "post": PICTURE}, headers={"Accept": "application/geo+json"}
    )
    assert "where on Earth" in expect(answer, 406, "not-acceptable")["detail"]
    answer = client.post(
        "/v1/damage?include=geojson",
        files={"pre": PICTURE, "post": PICTURE},
        headers={"Accept": "application/json"},
    )
    expect(answer, 422, "parameter-invalid")


@pytest.mark.parametrize(
    ("data", "code", "pointer"),
    [
        (b"", "districts-invalid", "/districts"),
        (b"{}", "districts-invalid", "/districts"),
        (b'{"type": "FeatureCollection", "features": []}', "districts-invalid", "/districts/features"),
        (
            b'{"type": "FeatureCollection", "features": [{"geometry": {"type": "Point", "coordinates": [0, 0]}}]}',
            "districts-invalid",
            "/districts/features/0",
        ),
    ],
)
def test_bad_districts(client: AppClient, data: bytes, code: str, pointer: str) -> None:
    files = {"pre": GOOD, "post": GOOD, "districts": data}
    answer = client.post("/v1/damage", files=files, headers={"Accept": "application/json"})
    assert expect(answer, 422, code)["errors"][0]["pointer"] == pointer


def test_districts_that_nothing_can_be_said_of(client: AppClient) -> None:
    ring = grid(96, 96).to_lon_lat([(0, 0), (0, 96), (96, 96), (0, 0)]).tolist()
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    layer = json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()
    pictures = {"pre": PICTURE, "post": PICTURE, "districts": layer}
    answer = client.post("/v1/damage", files=pictures, headers={"Accept": "application/json"})
    assert expect(answer, 422, "geography-missing")["errors"][0]["pointer"] == "/districts"
    scenes = {"pre": GOOD, "post": GOOD, "districts": layer}
    answer = client.post("/v1/damage", files=scenes, headers={"Accept": "image/tiff"})
    assert expect(answer, 422, "parameter-invalid")["errors"][0]["pointer"] == "/districts"


def test_alignment_of_another_kind(client: AppClient) -> None:
    answer = client.post("/v1/damage?align=maybe", files={"pre": GOOD, "post": GOOD})
    assert expect(answer, 422, "parameter-invalid")["errors"][0]["pointer"] == "/align"


def test_too_many_bytes_in_flight(start: Any) -> None:
    client = start()
    held = client.services.settings.limits.inflight_bytes - 8_000_000

    async def take(amount: int) -> None:
        client.services.admission.take(amount)

    wide = write(np.tile(PIXELS, (1, 20, 1)), grid(1920, 96), compress="deflate")
    client.run(take, held)
    answer = client.post("/v1/damage", files={"pre": wide, "post": wide})
    client.run(take, -held)
    assert expect(answer, 503, "overloaded")["retryable"]
    assert client.post("/v1/damage", files={"pre": wide, "post": wide}).status_code == 200
