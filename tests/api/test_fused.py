"""`POST /v1/damage?model=fused`: one model finds buildings, another grades each."""

from __future__ import annotations

import io
import json
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rasterio.io import MemoryFile

from gateway.app import create_app
from gateway.media.gdal import contained
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.geotiffs import grid, write
from tests.support.pictures import decode, encode, noise
from tests.support.trivial import PALETTE, write_trivial_model
from tests.support.trivial_crops import GRADES, write_trivial_crops

FUSED = "/v1/damage?model=fused"


@pytest.fixture(scope="module")
def fusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """Return a client of an app that serves a finder and a grader."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-fcn", inputs=("pre",), classes=2)
    write_trivial_model(root, "pair")
    write_trivial_crops(root)
    with running(create_app(Settings(models={"repository": root, "damage": "pair"}))) as client:
        yield client


def scene() -> tuple[dict[str, tuple[str, bytes]], np.ndarray]:
    """Return the files of a pair with three houses and a speck, and its label map."""
    pre, post = np.zeros((2, 150, 200, 3), np.uint8)
    labels = np.zeros((150, 200), np.uint8)
    post[:, :100] = 40
    post[:, 100:] = 240
    for box, value in (((20, 30), 1), ((20, 90), 1), ((140, 60), 4)):
        rows, columns = slice(box[1], box[1] + 20), slice(box[0], box[0] + 16)
        pre[rows, columns], labels[rows, columns] = 255, value
    pre[5:8, 180:184] = 255
    return {"pre": ("pre", encode(pre)), "post": ("post", encode(post))}, labels


def test_each_building_has_the_class_of_its_crop(fusing: AppClient) -> None:
    files, labels = scene()
    answer = fusing.post(FUSED, files=files)
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(decode(answer.content), labels)
    assert answer.headers["Maskgate-Model"] == "fused"
    finder, grader = (part.split() for part in answer.headers["Maskgate-Parts"].split(", "))
    assert (finder[:2], grader[:2]) == (["bd-fcn", "1"], ["bd-cnn", "1"])


def test_provenance_names_both(fusing: AppClient) -> None:
    files, labels = scene()
    report = fusing.post(FUSED, files=files, headers={"Accept": "application/json"}).json()
    parts = report["provenance"]["parts"]
    assert [(part["model"], part["version"]) for part in parts] == [("bd-fcn", 1), ("bd-cnn", 1)]
    card = fusing.get("/v1/models/bd-cnn").json()["card"]
    assert parts[1]["digest"] == card["digests"]["1"]
    assert report["provenance"]["digest"] not in {part["digest"] for part in parts}
    assert report["model"] == "fused"
    assert [c["name"] for c in report["classes"]] == ["band-0", *GRADES]
    assert [tuple(c["colour"]) for c in report["classes"]] == list(PALETTE)
    assert [c["pixels"] for c in report["classes"]] == np.bincount(labels.ravel(), minlength=5).tolist()
    assert [(region["class"], region["area"]) for region in report["regions"]] == [(1, 320), (4, 320), (1, 320)]
    assert report["notices"] == []


def test_fused_may_be_the_default(fusing: AppClient) -> None:
    root = fusing.services.settings.models.repository
    files, labels = scene()
    with running(create_app(Settings(models={"repository": Path(root), "damage": "fused"}))) as client:
        np.testing.assert_array_equal(decode(client.post("/v1/damage", files=files).content), labels)


def test_no_building_is_an_empty_map(fusing: AppClient) -> None:
    blank = encode(np.zeros((70, 90, 3), np.uint8))
    answer = fusing.post(FUSED, files={"pre": ("a", blank), "post": ("b", blank)})
    assert not decode(answer.content).any()


def test_a_grader_alone_answers_nobody(fusing: AppClient) -> None:
    problem = fusing.post("/v1/damage?model=bd-cnn", files=scene()[0]).json()
    assert (problem["status"], problem["type"].rpartition("/")[2]) == (422, "model-unsuitable")
    assert "model=fused" in problem["detail"]


def test_fused_has_no_versions(fusing: AppClient) -> None:
    problem = fusing.post(f"{FUSED}&version=1", files=scene()[0]).json()
    assert (problem["status"], problem["type"].rpartition("/")[2]) == (422, "parameter-invalid")


def test_fused_without_its_models_says_which_is_missing(client: AppClient) -> None:
    answer = client.post(FUSED, files=scene()[0])
    assert answer.status_code == 404
    assert "damage" in answer.json()["detail"]


def test_geotiffs_are_answered_in_every_form_as_pictures_are(fusing: AppClient) -> None:
    """Two houses, darker and brighter after the disaster, on ground that is no cloud."""
    pre, post = noise(400, 400) // 8 + 1, noise(400, 400, seed=1) // 8 + 1
    post[:, 200:] += 140
    for y, x in ((40, 50), (200, 300)):
        pre[y : y + 40, x : x + 30] = 255
    where = grid(400, 400)
    files = {name: (name, write(image, where)) for name, image in (("pre", pre), ("post", post))}

    def ask(accept: str, **params: str) -> bytes:
        asked = {"model": "fused", **params}
        answer = fusing.post("/v1/damage", files=files, headers={"Accept": accept}, params=asked)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Maskgate-Model"] == "fused"
        return bytes(answer.content)

    pictures = {"pre": ("pre", encode(pre)), "post": ("post", encode(post))}
    expected = decode(fusing.post(FUSED, files=pictures).content)
    assert sorted(np.unique(expected)) == [0, 1, 3]
    np.testing.assert_array_equal(decode(ask("image/png")), expected)
    with contained(), MemoryFile(ask("image/tiff")) as memory, memory.open() as labels:
        np.testing.assert_array_equal(labels.read(1), expected)
    features = json.loads(ask("application/geo+json"))["features"]
    assert [(f["properties"]["class"], f["properties"]["pixels"]) for f in features] == [
        (GRADES[0], 1200),
        (GRADES[2], 1200),
    ]
    with zipfile.ZipFile(io.BytesIO(ask("application/zip"))) as archive:
        assert (decode(archive.read("test_damage_00000_prediction.png")) == expected).all()
    report = json.loads(ask("application/json", include="xbd"))
    assert [c["pixels"] for c in report["classes"]] == np.bincount(expected.ravel(), minlength=5).tolist()
    assert [part["model"] for part in report["provenance"]["parts"]] == ["bd-fcn", "bd-cnn"]
    assert len(json.loads(b64decode(report["files"]["xbd"]))["features"]["xy"]) == 2
