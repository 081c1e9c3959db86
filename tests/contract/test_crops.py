"""Models of crops and what they are fused with: one suite, every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.engines.base import Engine, Tensors, choose
from gateway.inference.segmenter import Run
from gateway.media.geo.picture_rasters import Picture
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.damage.fused import fuse
from gateway.tasks.damage.pipeline import DamageReport, report_damage, segmenter_of
from gateway.tasks.damage.scene_bands import Band
from gateway.tasks.damage.scene_pipeline import SceneMap, map_scene
from gateway.tasks.damage.spec import CROP_TASK
from tests.support.pictures import noise
from tests.support.trivial import write_trivial_model
from tests.support.trivial_crops import CERTAIN, scores_of, write_trivial_crops

Factory = Callable[[Path], Engine]


@pytest.fixture(scope="session")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a finder and a grader."""
    root = tmp_path_factory.mktemp("fused")
    write_trivial_model(root, "bd-fcn", inputs=("pre",), classes=2)
    write_trivial_crops(root, max_batch_size=3)
    return root


@pytest.mark.parametrize("items", [1, 3, 7])
def test_crops_become_scores(new_engine: Factory, fused: Path, items: int) -> None:
    crops = np.stack([noise(16, 16, seed=seed) // (1 + seed) for seed in range(items)])

    async def run(engine: Engine) -> Tensors:
        await engine.start()
        try:
            return await engine.infer(choose(engine, CROP_TASK, "bd-cnn"), {"crop": crops}, ["scores"], Timeline(30))
        finally:
            await engine.close()

    scores = asyncio.run(run(new_engine(fused)))["scores"]
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, scores_of(crops))


def test_a_pair_is_found_and_graded(new_engine: Factory, fused: Path) -> None:
    """Five towns, more than one batch of the grader; each has a brightness of its own after the disaster."""
    pre, post = np.zeros((2, 160, 300, 3), np.uint8)
    levels = (30, 90, 150, 210, 90)
    for index, level in enumerate(levels):
        pre[60:80, 20 + 60 * index : 40 + 60 * index] = 255
        post[30:110, 60 * index : 60 * (index + 1)] = level

    async def run(engine: Engine) -> DamageReport:
        await engine.start()
        workers, timeline, telemetry = Workers(Threads("worker", 2)), Timeline(30), Telemetry()
        try:
            finder, grader = choose(engine, "damage", "bd-fcn"), choose(engine, CROP_TASK, "bd-cnn")
            whole = segmenter_of(Run(engine, workers, telemetry, timeline), fuse(finder, grader))
            return await report_damage(whole, pre, post)
        finally:
            await engine.close()

    report = asyncio.run(run(new_engine(fused)))
    expected = np.zeros((160, 300), np.uint8)
    for index, level in enumerate(levels):
        expected[60:80, 20 + 60 * index : 40 + 60 * index] = level // 64 + 1
    np.testing.assert_array_equal(report.map.label_map, expected)
    assert [building.value for building in report.buildings] == [1, 2, 3, 4, 2]
    # The finder is sure of 230 / 255.
    assert [building.confidence for building in report.buildings] == pytest.approx([230 / 255 * CERTAIN] * 5, abs=5e-3)


def test_a_scene_is_graded_in_bands_as_at_once(new_engine: Factory, fused: Path) -> None:
    """Bars from a few pixels to hundreds high, whose crops are darker by where they stand; none is bright as clouds."""
    rng = np.random.default_rng(5)
    pre = rng.integers(0, 100, (1500, 400, 3), np.uint8)
    post = np.broadcast_to(np.linspace(10, 155, 1500).astype(np.uint8)[:, None, None], pre.shape).copy()
    post[:, :200] //= 2
    post += rng.integers(0, 5, post.shape, np.uint8)
    for x in range(10, 390, 20):
        top, height = int(rng.integers(0, 1400)), int(rng.choice([2, 9, 40, 300, 900]))
        pre[top : top + height, x : x + 12] = 255
    labels, sureness = [], []

    class Kept:
        def write(self, band: Band) -> None:
            labels.append(band.labels.copy())
            sureness.append(band.sureness.copy())

    async def run(engine: Engine) -> tuple[SceneMap, DamageReport, tuple[np.ndarray, np.ndarray]]:
        await engine.start()
        workers, timeline, telemetry = Workers(Threads("worker", 2)), Timeline(60), Telemetry()
        try:
            finder, grader = choose(engine, "damage", "bd-fcn"), choose(engine, CROP_TASK, "bd-cnn")
            whole = segmenter_of(Run(engine, workers, telemetry, timeline), fuse(finder, grader))
            before, after = (Picture(image, np.ones(image.shape[:2], np.bool_)) for image in (pre, post))
            found = await map_scene(whole, before, after, [Kept()])
            at_once = await whole.label_map_and_confidence({"pre": pre, "post": post})
            return found, await report_damage(whole, pre, post), at_once
        finally:
            await engine.close()
            workers.close()

    found, report, at_once = asyncio.run(run(new_engine(fused)))
    np.testing.assert_array_equal(np.concatenate(labels), at_once[0])
    np.testing.assert_array_equal(np.concatenate(sureness), at_once[1])
    # Of scenes alone the probability of each class is told too.
    assert tuple(replace(building, means=None) for building in found.buildings) == report.buildings
    assert found.counts == report.map.counts
    assert len({building.value for building in found.buildings}) > 2
    assert found.cut == 0
