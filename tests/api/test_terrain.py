"""`POST /v1/damage` with `elevation`, `surface` and `landcover`: what is known of the ground beside the images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from gateway.app import create_app
from gateway.media.gdal import contained
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.geotiffs import grid, write
from tests.support.pictures import decode, encode, noise
from tests.support.trivial import write_trivial_model
from tests.support.trivial_rasters import write_trivial_rasters

HEIGHT, WIDTH = 96, 128
NAMES = ("elevation", "surface", "landcover")
PLACE = grid(WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """Return a client of an app with a model that takes no rasters, and of each raster one that labels by it."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "pair")
    for shown in NAMES:
        write_trivial_rasters(root, f"by-{shown}", shown)
    write_trivial_rasters(root, "heights", "surface", taken=("elevation", "surface"))
    with running(create_app(Settings(models={"repository": root, "damage": "pair"}))) as started:
        yield started


def levels(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """Return heights of 1 to 4 m in squares."""
    y, x = np.mgrid[:height, :width] // 16
    return np.asarray(1 + (x + 2 * y) % 4, np.float32)


def scene(**rasters: bytes) -> dict[str, tuple[str, bytes]]:
    """Return the parts of a pair of GeoTIFFs of `PLACE`, and of rasters."""
    parts = {role: write(noise(HEIGHT, WIDTH, seed=seed), PLACE) for seed, role in enumerate(("pre", "post"))}
    return {name: (f"{name}.tif", content) for name, content in {**parts, **rasters}.items()}


def asked(client: AppClient, model: str, files: Any, accept: str = "application/json", **params: Any) -> Any:
    params = {"model": model, "align": "off", **params}
    return client.post("/v1/damage", params=params, files=files, headers={"Accept": accept})


def label_map(answer: Any) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    with contained(), MemoryFile(answer.content) as file, file.open() as opened:
        return np.asarray(opened.read(1))


def band(values: NDArray[Any], place: Any = PLACE, **profile: Any) -> bytes:
    return write(values[..., None], place, **profile)


@pytest.mark.parametrize("name", NAMES)
def test_a_raster_reaches_the_model_where_it_says_something(client: AppClient, name: str) -> None:
    heights = levels()
    if name == "landcover":
        # Nearest classes, 0 to 2; 7 is none that the model knows, 200 is the file's nodata.
        values = (heights - 1).clip(0, 2).astype(np.uint8)
        expected = values + 1
        values[:16], values[16:32] = 7, 200
        # Of 7 the model itself makes what it makes; 200 is known to be nothing.
        expected[:16], expected[16:32] = 4, 0
        sent, known = band(values, nodata=200), 1 - 32 / HEIGHT
    else:
        expected = heights.astype(np.uint8)
        heights[:16] = -9999
        expected[:16] = 0
        sent, known = band(heights, nodata=-9999), 1 - 16 / HEIGHT
    files = scene(**{name: sent})
    labels = label_map(asked(client, f"by-{name}", files, "image/tiff"))
    np.testing.assert_array_equal(labels, expected)
    report = asked(client, f"by-{name}", files).json()
    assert report["rasters"] == {name: {"known_share": pytest.approx(known, abs=1e-6)}}
    assert f"{name} says something of {known:.1%} of the scene" in report["notices"]


def test_all_three_at_once_and_none(client: AppClient) -> None:
    sent = {name: band(levels() if name != "landcover" else np.ones((HEIGHT, WIDTH), np.uint8)) for name in NAMES}
    report = asked(client, "by-surface", scene(**sent)).json()
    assert report["rasters"] == {name: {"known_share": 1.0} for name in NAMES}
    bare = asked(client, "by-surface", scene()).json()
    assert bare["rasters"] == {}
    assert [each["pixels"] for each in bare["classes"]] == [HEIGHT * WIDTH, 0, 0, 0, 0]
    # Another digest of what was sent.
    assert bare["provenance"]["input_digest"] != report["provenance"]["input_digest"]
    # Not a scene, and not asked for as one.
    plain = {role: (role, encode(noise(HEIGHT, WIDTH))) for role in ("pre", "post")}
    answer = client.post("/v1/damage?model=by-surface", files=plain)
    assert answer.status_code == 200, answer.text
    assert not decode(answer.content).any()


def test_a_raster_of_another_system_and_extent_is_warped_and_lacks_where_it_does_not_reach(client: AppClient) -> None:
    """3 m high in the left half of the scene, in degrees and metres of its own."""
    west, south, east, north = _bounds()
    middle = (west + east) / 2
    place = grid(60, 50, "EPSG:4326", Affine((middle - west) / 60, 0, west, 0, -(north - south) / 50, north))
    sent = band(np.full((50, 60), 3.0, np.float64), place)
    answer = asked(client, "by-surface", scene(surface=sent), "image/tiff")
    labels = label_map(answer)
    assert (labels[4:-4, 4:60] == 3).all()
    assert (labels[:, 70:] == 0).all()
    assert "surface says something of" in answer.headers["maskgate-notices"]


def _bounds() -> tuple[float, float, float, float]:
    places = PLACE.to_lon_lat([(0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)])
    (west, south), (east, north) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    return west, south, east, north


def test_pictures_take_rasters_pixel_for_pixel(client: AppClient) -> None:
    plain = {role: (role, encode(noise(HEIGHT, WIDTH, seed=seed))) for seed, role in enumerate(("pre", "post"))}
    own = {"surface": ("surface", band(levels(), None))}
    answer = client.post("/v1/damage?model=by-surface", files={**plain, **own})
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(decode(answer.content), levels().astype(np.uint8))
    other = {"surface": ("surface", band(levels(50, 60), None))}
    problem = client.post("/v1/damage?model=by-surface", files={**plain, **other}).json()
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("geography-missing", "/surface")
    assert "128×96" in problem["detail"]
    assert "60×50" in problem["detail"]
    problem = asked(client, "by-surface", scene(surface=band(levels(), None))).json()
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("geography-missing", "/surface")


@pytest.mark.parametrize(
    ("model", "sent", "pointer", "named"),
    [
        ("pair", ("elevation",), "/elevation", "by-elevation or by-landcover or by-surface or heights does"),
        ("pair", ("landcover", "surface"), "/surface", "by-elevation or by-landcover or by-surface does"),
        ("heights", ("elevation", "landcover"), "/landcover", "heights does not take landcover; by-elevation or"),
    ],
)
def test_a_model_that_does_not_take_them_is_refused_and_others_named(
    client: AppClient, model: str, sent: tuple[str, ...], pointer: str, named: str
) -> None:
    classes = np.ones((HEIGHT, WIDTH), np.uint8)
    rasters = {name: band(classes if name == "landcover" else levels()) for name in sent}
    answer = asked(client, model, scene(**rasters))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "model-unsuitable")
    assert problem["errors"][0]["pointer"] == pointer
    assert named in problem["detail"]


@pytest.mark.parametrize(
    ("name", "sent", "status", "code"),
    [
        ("elevation", encode(noise(HEIGHT, WIDTH)), 415, "unsupported-media"),
        ("elevation", b"", 415, "unsupported-media"),
        ("elevation", write(noise(HEIGHT, WIDTH), PLACE), 422, "bands-unsuitable"),
        ("landcover", band(levels()), 422, "bands-unsuitable"),
        ("surface", band(levels())[:900], 422, "image-unreadable"),
    ],
)
def test_what_is_no_raster_is_refused(client: AppClient, name: str, sent: bytes, status: int, code: str) -> None:
    answer = asked(client, f"by-{name}", scene(**{name: sent}))
    problem = answer.json()
    assert (answer.status_code, problem["errors"][0]["pointer"]) == (status, f"/{name}"), problem
    assert problem["code"] == code


def test_a_mirror_sees_rasters_mirrored_too_and_footprints_take_them(client: AppClient) -> None:
    files = scene(surface=band(levels()))
    answer = asked(client, "by-surface", files, "image/tiff", tta="flip")
    np.testing.assert_array_equal(label_map(answer), levels().astype(np.uint8))
    square = [[0, 0], [16, 0], [16, 16], [0, 16], [0, 0]]
    known = {"type": "FeatureCollection", "features": [_feature([PLACE.to_lon_lat(square).tolist()])]}
    report = asked(client, "by-surface", {**files, "footprints": ("f", _json(known))}).json()
    assert report["rasters"] == {"surface": {"known_share": 1.0}}
    assert [(each["class"], each["pixels"]) for each in report["footprints"]] == [(1, 256)]


def _feature(rings: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": rings}}


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_only_the_models_that_take_them_list_them(client: AppClient) -> None:
    card = client.get("/v1/models/by-surface").json()["card"]
    assert [raster["input"] for raster in card["rasters"]] == list(NAMES)
    assert client.get("/v1/models/pair").json()["card"]["rasters"] == []
    described = client.get("/openapi.json").json()
    body = described["paths"]["/v1/damage"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(NAMES) <= set(body["schema"]["properties"])


def test_a_box_bounds_what_it_has_of_a_raster(tmp_path: Path) -> None:
    write_trivial_rasters(tmp_path, "by-elevation", "elevation")
    settings = Settings(models={"repository": tmp_path, "damage": "by-elevation"}, limits={"scene_pixels": 20_000})
    degrees = grid(400, 400, "EPSG:4326", Affine(5e-6, 0, -94.5, 0, -5e-6, 37.08))
    finer = grid(800, 800, "EPSG:4326", degrees.affine @ Affine.scale(0.5))
    image = write(noise(400, 400), degrees)
    files = {"pre": image, "post": image, "elevation": band(levels(800, 800), finer)}
    (west, north), *corners = degrees.to_lon_lat([(100, 100), (170, 171), (170, 172)]).tolist()
    boxes = [f"{west:.9f},{south:.9f},{east:.9f},{north:.9f}" for east, south in corners]
    with running(create_app(settings)) as limited:
        inside, over = (asked(limited, "by-elevation", files, bbox=one) for one in boxes)
    assert (inside.status_code, over.status_code) == (200, 413), (inside.text, over.text)
    assert over.json()["errors"][0]["pointer"] == "/elevation"
