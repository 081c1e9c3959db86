"""`POST /v1/damage` with a model of boxes: each building is a box, in every form and in two fused models too."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.app import create_app
from gateway.settings import Settings
from gateway.tasks.damage.boxes import Found, paint, suppress
from gateway.vision.labels import decide
from gateway.vision.regions import regions
from tests.support.app_client import AppClient, running
from tests.support.pictures import decode, encode
from tests.support.trivial_boxes import BOXES, write_trivial_boxes
from tests.support.trivial_crops import write_trivial_crops

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def boxing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """Return a client of an app that serves a model of boxes, which finds for `fused` too, and a grader."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_boxes(root)
    write_trivial_crops(root)
    models = {"repository": root, "damage": "bd-yolo", "fused_finder": "bd-yolo"}
    with running(create_app(Settings(models=models))) as client:
        yield client


def files() -> dict[str, tuple[str, bytes]]:
    """Return a pair of two tiles: all four quarters of the first, one of the second; the left ones are destroyed."""
    pre, post = np.full((2, 64, 128, 3), 255, np.uint8)
    pre[:32, 64:] = pre[:, 96:] = 0
    post[:, :32] = 0
    return {"pre": ("pre", encode(pre)), "post": ("post", encode(post))}


def found() -> list[tuple[list[int], int]]:
    """Return box and class of each building of that pair, in reading order."""
    boxes = [(box.astype(int).tolist(), 4 if box[0] < 32 else 1) for box in [*BOXES, BOXES[2] + [64, 0, 64, 0]]]
    return sorted(boxes, key=lambda each: (each[0][1], each[0][0]))


def test_regions_are_boxes(boxing: AppClient) -> None:
    report = boxing.post("/v1/damage", files=files(), headers=JSON).json()
    assert [(region["box"], region["class"]) for region in report["regions"]] == found()
    assert {region["area"] for region in report["regions"]} == {20 * 16}
    assert {region["confidence"] for region in report["regions"]} == {1.0}
    assert report["model"] == "bd-yolo"


@pytest.mark.parametrize("query", ["", "?align=off", "?align=off&tta=flip"])
def test_every_form_shows_the_same_boxes(boxing: AppClient, query: str) -> None:
    """A pair of pictures is answered whole, a scene tile by tile."""
    answer = boxing.post(f"/v1/damage{query}", files=files())
    labels = np.zeros((64, 128), np.uint8)
    for (x0, y0, x1, y1), value in found():
        labels[y0:y1, x0:x1] = value
    if "tta" in query:
        # In a mirror a box lies elsewhere in its quarter: what both views show is left.
        assert set(np.unique(decode(answer.content))) <= {0, 1, 4}
    else:
        np.testing.assert_array_equal(decode(answer.content), labels)


def test_boxes_are_graded_by_another_model(boxing: AppClient) -> None:
    report = boxing.post("/v1/damage?model=fused", files=files(), headers=JSON).json()
    assert [region["box"] for region in report["regions"]] == [box for box, _ in found()]
    assert [part["model"] for part in report["provenance"]["parts"]] == ["bd-yolo", "bd-cnn"]


def test_of_boxes_of_one_building_the_surest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [8, 0, 18, 10], [30, 30, 40, 40]], np.float32)
    scores = np.array([[0.5, 0, 0, 0], [0, 0, 0, 0.9], [0.3, 0, 0, 0], [0, 0.7, 0, 0]], np.float32)
    kept = suppress(Found(boxes, scores))
    np.testing.assert_array_equal(kept.boxes, boxes[[1, 3, 2]])
    assert kept.scores.argmax(axis=1).tolist() == [3, 1, 0]
    assert len(suppress(Found(boxes[:0], scores[:0])).boxes) == 0


def test_boxes_that_touch_or_overlap_stay_regions_of_their_own() -> None:
    boxes = np.array([[5, 5, 25, 25], [25, 5, 45, 25], [20, 20, 40, 40]], np.float32)
    scores = np.array([[0.9, 0, 0, 0], [0, 0.8, 0, 0], [0, 0, 0.2, 0.5]], np.float32)
    painted = paint(Found(boxes, scores), 50, 60)
    assert (painted.astype(int).sum(axis=-1) == 255).all()
    labels = decide(painted, 0.5)
    assert [region.value for region in regions(labels)] == [1, 2, 4]
    assert (labels[5:25, 5:25] == 1).all()
    # A box is as sure of a building as of its likeliest class, and classes share that.
    assert painted[39, 39].tolist() == [127, 0, 0, 36, 92]


def test_known_footprints_are_graded_by_the_boxes_over_them(boxing: AppClient) -> None:
    """One lies in a box, and one where nothing was found: of that no class is likelier than another."""
    rings = [[[8, 10], [24, 10], [24, 22], [8, 22]], [[70, 2], [90, 2], [90, 20], [70, 20]]]
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}
        for ring in rings
    ]
    layer = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    sent = {**files(), "footprints": ("footprints", layer)}
    known = boxing.post("/v1/damage", files=sent, headers=JSON).json()["footprints"]
    assert [(each["class"], each["uncertain"]) for each in known] == [(4, False), (1, True)]
    assert known[1]["confidence"] == 0.25
