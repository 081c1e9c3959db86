"""Models that are asked about everything once more as a mirror shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.footprints import Footprints
from gateway.media.geo.picture_rasters import Picture
from gateway.media.geo.polygons import SentPolygon
from gateway.observability.metrics import Telemetry
from gateway.repository.card import read_card
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.damage.fused import FusedSegmenter, GradingSegmenter, fuse, grading_alone
from gateway.tasks.damage.scene_footprints import grade_footprints
from gateway.tasks.damage.scene_pipeline import SceneMap, map_scene
from gateway.vision.labels import both_views
from tests.support.pictures import noise
from tests.support.table_engine import PROBABILITIES, TableEngine
from tests.support.trivial import write_trivial_model
from tests.support.trivial_crops import write_trivial_crops

SIDE = 64


class Leaning(TableEngine):
    """Sees the left half of what it is shown brighter than it is, and asks crops for their left half alone."""

    async def infer(self, model: Model, inputs: Any, outputs: Any, timeline: Timeline) -> Any:
        self.calls += 1
        if "crop" in inputs:
            left = inputs["crop"][:, :, : inputs["crop"].shape[2] // 2, 1].mean(axis=(1, 2)) > 127
            scores = np.where(left[:, np.newaxis], [0.1, 0.1, 0.1, 0.7], [0.7, 0.1, 0.1, 0.1])
            return {"scores": scores.astype(np.float32)}
        return {name: seen(inputs["pre"]) for name in outputs}


def seen(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the probabilities of `Leaning`."""
    green = images[..., 1].copy()
    green[:, :, : SIDE // 2] = green[:, :, : SIDE // 2] // 2 + 128
    return np.asarray(PROBABILITIES[green], np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    root = tmp_path_factory.mktemp("models")
    folders = write_trivial_model(root, "trivial", tile=SIDE, overlap=16), write_trivial_crops(root)
    finder, grader = (Model(read_card(folder / "card.json"), 1, "sha256:0") for folder in folders)
    return finder, grader


def run(model: Model, kind: Any, work: Callable[[Any], Awaitable[SceneMap]]) -> SceneMap:
    async def started() -> SceneMap:
        workers = Workers(Threads("worker", 2))
        segmenter = kind.of(Segmenter(Leaning(), workers, Telemetry(), Timeline(60), model=model), model)
        try:
            return await work(segmenter)
        finally:
            workers.close()

    return asyncio.run(started())


def picture(pixels: NDArray[np.uint8]) -> Picture:
    return Picture(pixels, np.ones(pixels.shape[:2], np.bool_))


def ground() -> NDArray[np.uint8]:
    pixels = noise(SIDE, SIDE) // 8 + 1
    pixels[10:30, 8:56, 1] = 140
    return pixels


def twice_seen(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    views = both_views(seen(pixels[np.newaxis]), seen(pixels[np.newaxis, :, ::-1])[:, :, ::-1])
    return np.asarray(views[0], np.uint8)


def test_means_decide_and_buildings_have_the_distance(models: tuple[Model, Model]) -> None:
    image = picture(ground())
    once = run(models[0], Segmenter, lambda s: map_scene(s, image, image, judged=False))
    both = run(models[0], Segmenter, lambda s: map_scene(s, image, image, judged=False, twice=True))
    assert {len(building.means or ()) for building in once.buildings} == {5}
    assert {len(building.means or ()) for building in both.buildings} == {6}
    expected = twice_seen(ground())
    labels = expected[..., :5].argmax(axis=-1)
    assert both.counts == tuple(np.bincount(labels.ravel(), minlength=5))
    (building,) = [one for one in both.buildings if one.area == np.count_nonzero(labels)] or [both.buildings[0]]
    inside = expected[labels > 0].mean(axis=0) / 255
    np.testing.assert_allclose(building.means or (), inside, atol=2e-3)
    assert inside[5] > 0.1


def footprints(*boxes: tuple[int, int, int, int]) -> Footprints:
    shapes = [shapely.box(*box) for box in boxes]
    sent = tuple(SentPolygon(number, {}, shape) for number, shape in enumerate(shapes))
    return Footprints(sent, np.array(shapes, object), SIDE, SIDE, ())


def test_footprints_have_the_distance_within(models: tuple[Model, Model]) -> None:
    image, known = picture(ground()), footprints((8, 10, 20, 30), (8, 10, 56, 30))
    found = run(
        models[0], Segmenter, lambda s: grade_footprints(s, image, image, known, judged=False, twice=True)
    ).graded
    assert found is not None
    assert found.disagreement is not None
    expected = twice_seen(ground())
    for number, columns in enumerate((slice(8, 20), slice(8, 56))):
        within = expected[10:30, columns].reshape(-1, 6).mean(axis=0)
        assert found.scores[number] == pytest.approx(within[1:5] / within[1:5].sum(), abs=1e-3)
        assert found.disagreement[number] == pytest.approx(within[5] / 255, abs=1e-3)


@pytest.mark.parametrize("twice", [False, True])
def test_a_grader_sees_crops_twice(models: tuple[Model, Model], twice: bool) -> None:
    post = np.zeros((SIDE, SIDE, 3), np.uint8)
    post[:, : SIDE // 2] = 250
    image, known = picture(post), footprints((28, 20, 36, 30))
    found = run(
        grading_alone(models[1]),
        GradingSegmenter,
        lambda s: grade_footprints(s, image, image, known, judged=False, twice=twice),
    ).graded
    assert found is not None
    assert found.scores[0] == pytest.approx([0.4, 0.1, 0.1, 0.4] if twice else [0.1, 0.1, 0.1, 0.7])
    assert found.disagreement == (pytest.approx([0.6]) if twice else None)


@pytest.mark.parametrize("twice", [False, True])
def test_fused_buildings_have_what_the_grader_said(models: tuple[Model, Model], twice: bool) -> None:
    post = np.zeros((SIDE, SIDE, 3), np.uint8)
    post[:, : SIDE // 2] = 250
    pre = picture(ground())
    found = run(fuse(*models), FusedSegmenter, lambda s: map_scene(s, pre, picture(post), judged=False, twice=twice))
    assert found.buildings
    for building in found.buildings:
        assert len(building.means or ()) == 5 + twice
        assert sum((building.means or ())[1:5]) == pytest.approx(1, abs=1e-5)
