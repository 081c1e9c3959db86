"""`POST /v1/damage` with footprints: known buildings are graded, none are looked for."""

from __future__ import annotations

import io
import json
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from rasterio.io import MemoryFile
from shapely.geometry import shape

from gateway.app import create_app
from gateway.media.gdal import contained
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.geotiffs import gdal, grid, write
from tests.support.pictures import decode, encode, noise
from tests.support.trivial import label_table, probability_table, write_trivial_model
from tests.support.trivial_crops import GRADES, write_trivial_crops

GEOJSON, TIFF, ZIP, JSON = "application/geo+json", "image/tiff", "application/zip", "application/json"
HEIGHT, WIDTH = 300, 400
PLACE = grid(WIDTH, HEIGHT)
NAMES = ("band-0", "band-1", "band-2", "band-3", "band-4")


@pytest.fixture(scope="module")
def grading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """Return a client of an app that serves a segmenter, a finder and a grader."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-fcn", inputs=("pre",), classes=2)
    write_trivial_model(root, "pair")
    write_trivial_crops(root)
    with running(create_app(Settings(models={"repository": root, "damage": "pair"}))) as client:
        yield client


def ground() -> np.ndarray:
    """Return ground that the segmenter calls background, with a bright west half from row 150 on."""
    pixels = noise(HEIGHT, WIDTH) // 8 + 1
    pixels[150:, :200, 1] = 250
    return pixels


def house(x0: float, y0: float, x1: float, y1: float, **properties: Any) -> dict[str, Any]:
    return feature(shapely.box(x0, y0, x1, y1), **properties)


def feature(outline: Any, **properties: Any) -> dict[str, Any]:
    return in_pixels(shapely.transform(outline, PLACE.to_lon_lat), **properties)


def in_pixels(placed: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(placed)}


def collection(*features: Any, **members: Any) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features, **members}).encode()


def parts(footprints: bytes, post: np.ndarray | None = None, **profile: Any) -> dict[str, tuple[str, bytes]]:
    pre, seen = write(ground(), PLACE), write(ground() if post is None else post, PLACE, **profile)
    return {"pre": ("pre", pre), "post": ("post", seen), "footprints": ("footprints", footprints)}


def ask(client: AppClient, files: Any, accept: str = JSON, **params: Any) -> Any:
    answer = client.post("/v1/damage", files=files, headers={"Accept": accept}, params={"align": "off", **params})
    assert answer.status_code == 200, answer.text
    return answer.json() if accept in (JSON, GEOJSON) else answer.content


def refused(client: AppClient, files: Any, status: int, code: str, **params: Any) -> dict[str, Any]:
    answer = client.post("/v1/damage", files=files, params=params)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    problem: dict[str, Any] = answer.json()
    return problem


COURT = shapely.box(20, 160, 120, 260).difference(shapely.box(50, 190, 90, 230))
TWO = shapely.MultiPolygon([shapely.box(220, 20, 250, 50), shapely.box(300, 20, 330, 50)])
SENT = (
    feature(COURT, building="school", levels=2) | {"id": "way/1"},
    feature(TWO, **{"class": "depot", "name": "Süd"}),
    house(380, 10, 440, 40),
    house(500, 500, 520, 520),
)


def test_each_footprint_has_the_mean_of_its_pixels(grading: AppClient) -> None:
    report = ask(grading, parts(collection(*SENT)))
    assert report["regions"] == []
    court, two, edge, away = report["footprints"]
    assert (court["id"], court["properties"]) == ("way/1", {"building": "school", "levels": 2})
    assert (court["class"], court["name"], court["pixels"]) == (4, NAMES[4], 100 * 100 - 40 * 40)
    assert court["area_m2"] == pytest.approx((100 * 100 - 40 * 40) / 4, rel=1e-3)
    assert court["box"] == [20, 160, 120, 260]
    within = probability_table(5)[ground()[..., 1]][160:170, 20:120, 1:].reshape(-1, 4).mean(axis=0)
    assert list(court["scores"].values()) == pytest.approx(within / within.sum(), abs=2e-3)
    assert court["confidence"] == max(court["scores"].values())
    assert (two["id"], two["pixels"], two["observed_share"]) == (1, 1800, 1)
    assert two["properties"] == {"class": "depot", "name": "Süd"}
    assert (edge["pixels"], edge["observed_share"], edge["box"]) == (
        600,
        pytest.approx(1 / 3, abs=1e-3),
        [380, 10, 400, 40],
    )
    assert (away["class"], away["name"], away["confidence"], away["scores"], away["box"]) == (None,) * 5
    assert (away["not_assessed"], away["observed_share"], away["properties"]) == (True, 0, {})
    assert [c["buildings"] for c in report["classes"]][4] == 1
    assert sum(c["buildings"] for c in report["classes"]) == 3
    assert report["classes"][4]["pixels"] == court["pixels"]
    assert any("1 of 4 footprints not assessed" in notice for notice in report["notices"])


@pytest.mark.parametrize("model", ["bd-cnn", "fused"])
def test_a_grader_is_asked_of_each_footprint_and_the_finder_is_not(grading: AppClient, model: str) -> None:
    report = ask(grading, parts(collection(*SENT)), model=model)
    assert (report["model"], report["provenance"]["model"], report["provenance"]["parts"]) == ("bd-cnn", "bd-cnn", [])
    assert report["provenance"]["digest"] == grading.get("/v1/models/bd-cnn").json()["card"]["digests"]["1"]
    assert [c["name"] for c in report["classes"]] == ["background", *GRADES]
    court, two, edge, away = report["footprints"]
    assert court["name"] in GRADES[2:]
    assert (two["name"], edge["name"], away["name"]) == (GRADES[0], GRADES[0], None)
    assert list(two["scores"]) == list(GRADES)
    assert two["confidence"] == pytest.approx(0.85, abs=1e-3)


def test_features_have_their_properties_and_ours(grading: AppClient, tmp_path: Path) -> None:
    files = parts(collection(*SENT))
    found = ask(grading, files, GEOJSON)
    first, second, *_, last = found["features"]
    assert first["id"] == "way/1"
    assert first["properties"]["class"] == NAMES[4]
    assert (first["properties"]["building"], first["properties"]["levels"]) == ("school", 2)
    assert (second["properties"]["source_class"], second["properties"]["name"]) == ("depot", "Süd")
    assert (last["properties"]["class"], last["properties"]["not_assessed"]) == (None, True)
    for sent, feature_ in zip(SENT, found["features"], strict=True):
        assert shape(feature_["geometry"]).symmetric_difference(shape(sent["geometry"])).area < 1e-10
    (tmp_path / "graded.geojson").write_text(json.dumps(found))
    said = gdal("ogrinfo", "-so", "-al", tmp_path / "graded.geojson")
    assert "Feature Count: 4" in said
    assert "source_class: String" in said


def test_the_map_shows_footprints_and_nothing_else(grading: AppClient) -> None:
    files = parts(collection(*SENT, house(30, 170, 40, 180)))
    with contained(), MemoryFile(ask(grading, files, TIFF)) as memory, memory.open() as file:
        labels = file.read(1)
    report = ask(grading, files)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[160:260, 20:120] = 4
    expected[190:230, 50:90] = 0
    values = [one["class"] for one in report["footprints"]]
    expected[20:50, 220:250] = expected[20:50, 300:330] = values[1]
    expected[10:40, 380:] = values[2]
    expected[170:180, 30:40] = values[4]
    np.testing.assert_array_equal(labels, expected)
    assert [c["pixels"] for c in report["classes"]] == np.bincount(labels.ravel(), minlength=5).tolist()
    with zipfile.ZipFile(io.BytesIO(ask(grading, files, ZIP))) as archive:
        np.testing.assert_array_equal(decode(archive.read("test_damage_00000_prediction.png")), labels)
    np.testing.assert_array_equal(decode(ask(grading, files, "image/png")), labels)
    more = ask(grading, files, include=["quicklook", "xbd"])
    assert decode(b64decode(more["pictures"]["quicklook"])).shape == (HEIGHT, WIDTH, 3)
    assert len(json.loads(b64decode(more["files"]["xbd"]))["features"]["xy"]) == 4, "those that the image shows"


def test_what_nobody_saw_is_not_assessed(grading: AppClient) -> None:
    post = ground()
    post[:, 300:] = 0
    sent = collection(*SENT, house(310, 100, 330, 120), house(290, 100, 310, 120))
    report = ask(grading, parts(sent, post, nodata=0))
    court, two, edge, _, lost, half = report["footprints"]
    assert [one["not_assessed"] for one in (court, two, edge, lost, half)] == [False, False, True, True, False]
    assert (two["observed_share"], half["observed_share"], lost["observed_share"]) == (0.5, 0.5, 0)
    assert (two["pixels"], half["pixels"]) == (900, 200)
    with contained(), MemoryFile(ask(grading, parts(sent, post, nodata=0), TIFF)) as memory, memory.open() as file:
        assert (file.read(1)[:, 300:] == 255).all()


def test_footprints_that_lie_over_each_other_each_have_all_their_pixels(grading: AppClient) -> None:
    files = parts(collection(*[house(30, 170, 50, 190)] * 12, house(30, 170, 90, 190)))
    report = ask(grading, files)
    assert [one["pixels"] for one in report["footprints"]] == [400] * 12 + [1200]
    assert report["classes"][4]["pixels"] == 1200


def test_districts_count_footprints_and_those_not_assessed(grading: AppClient) -> None:
    layer = collection(house(0, 0, 200, 300, name="west") | {"id": "w"}, house(200, 0, 1000, 1000, name="east"))
    files = parts(collection(*SENT)) | {"districts": ("districts", layer)}
    report = ask(grading, files)
    west, east, nowhere = report["districts"]
    assert [one["district"] for one in report["footprints"]] == ["w", 1, 1, 1]
    assert [sum(c["buildings"] for c in one["classes"]) for one in (west, east, nowhere)] == [1, 2, 0]
    assert (west["buildings_not_assessed"], east["buildings_not_assessed"]) == (0, 1)
    assert west["classes"][3]["area_m2"] == pytest.approx(report["footprints"][0]["area_m2"], abs=0.01)


def test_another_reference_system_may_be_named(grading: AppClient) -> None:
    metres = shapely.transform(COURT, lambda points: points * [0.5, -0.5] + [366_642.5, 4_104_511])
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32615"}}
    sent = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(metres)}
    (court,) = ask(grading, parts(collection(sent, crs=crs)))["footprints"]
    assert (court["class"], court["box"]) == (4, [20, 160, 120, 260])


@pytest.mark.parametrize("model", ["pair", "bd-cnn"])
def test_pictures_take_pixels(grading: AppClient, model: str) -> None:
    picture = encode(ground())
    layer = collection(in_pixels(COURT), in_pixels(TWO))
    files = {"pre": ("pre", picture), "post": ("post", picture), "footprints": ("footprints", layer)}
    report = ask(grading, files, model=model)
    court, two = report["footprints"]
    assert (court["box"], two["box"], court["pixels"]) == ([20, 160, 120, 260], [220, 20, 330, 50], 8400)
    assert (court["area_m2"], report["geography"]) == (None, None)
    labels = decode(ask(grading, files, "image/png", model=model))
    assert labels[165, 30] == court["class"]
    assert np.count_nonzero(labels) == 8400 + 1800
    crs = {"type": "name", "properties": {"name": "EPSG:32615"}}
    named = files | {"footprints": ("footprints", collection(in_pixels(COURT), crs=crs))}
    assert refused(grading, named, 422, "footprints-invalid")["errors"][0]["pointer"] == "/footprints/crs"


def test_a_layer_from_elsewhere_is_said(grading: AppClient) -> None:
    away = house(5000, 5000, 5020, 5020)
    report = ask(grading, parts(collection(away)))
    assert "no footprint meets the scene" in report["notices"]
    assert report["classes"][0]["pixels"] == HEIGHT * WIDTH


LOOP = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])


def test_outlines_that_cross_themselves_are_repaired_and_said(grading: AppClient) -> None:
    nothing: dict[str, Any] = {"type": "Feature", "geometry": None, "properties": {}}
    report = ask(grading, parts(collection(feature(LOOP), nothing, SENT[0])))
    assert len(report["footprints"]) == 2
    assert {
        "1 footprints without an area are left out",
        "1 footprints whose outlines cross themselves were repaired",
    } <= set(report["notices"])


POINT = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [0, 0]}, "properties": {}}


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        (b"", "/footprints"),
        (b"\xff", "/footprints"),
        (collection(), "/footprints/features"),
        (collection(SENT[0], POINT), "/footprints/features/1"),
        (collection({"type": "Feature", "geometry": None}), "/footprints/features"),
        (collection(in_pixels(shapely.box(200, 0, 201, 1))), "/footprints/features/0"),
        (collection(SENT[0], crs={"type": "name", "properties": {"name": "/etc/passwd"}}), "/footprints/crs"),
    ],
)
def test_what_is_no_collection_of_polygons_is_refused(grading: AppClient, data: bytes, pointer: str) -> None:
    problem = refused(grading, parts(data), 422, "footprints-invalid")
    assert problem["errors"][0]["pointer"] == pointer


def test_too_many_are_refused(start: Any) -> None:
    sent = collection(SENT[0], SENT[1])
    for limits, limit in (({"footprints": 1}, 1), ({"footprint_bytes": 99}, 99)):
        assert refused(start(limits=limits), parts(sent), 413, "footprints-too-large")["limit"] == limit
    zigzag = shapely.Polygon([(x / 2, 300 * (x % 2)) for x in range(1000)] + [(0, -1)])
    problem = refused(start(), parts(collection(feature(zigzag))), 413, "footprints-too-large")
    assert problem["limit"] == HEIGHT * WIDTH


def test_a_finder_grades_nothing(grading: AppClient) -> None:
    problem = refused(grading, parts(collection(*SENT)), 422, "model-unsuitable", model="bd-fcn")
    assert problem["errors"][0]["pointer"] == "/model"
    without = {name: part for name, part in parts(b"").items() if name != "footprints"}
    assert "footprints" in refused(grading, without, 422, "model-unsuitable", model="bd-cnn")["detail"]


def test_labels_of_the_table_are_what_this_file_believes() -> None:
    assert label_table(5)[250] == 4
