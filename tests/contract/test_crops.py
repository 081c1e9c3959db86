"""Models of crops and what they are fused with: one suite, every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.engines.base import Engine, Tensors, choose
from gateway.engines.embedded import EmbeddedEngine
from gateway.errors import ModelUnsuitable
from gateway.ops.telemetry import Telemetry
from gateway.ops.timeline import Timeline
from gateway.ops.workers import Workers
from gateway.tasks.damage import DamageReport, report_damage
from gateway.tasks.fused import CROP_TASK, FusedSegmenter, fuse
from gateway.tasks.segmentation import Segmenter
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
        workers, timeline, telemetry = Workers(2), Timeline(30), Telemetry()
        try:
            finder, grader = choose(engine, "damage", "bd-fcn"), choose(engine, CROP_TASK, "bd-cnn")
            parts = [Segmenter(model, engine, workers, telemetry, timeline) for model in (finder, grader)]
            whole = FusedSegmenter(
                fuse(finder, grader), engine, workers, telemetry, timeline, finder=parts[0], grader=parts[1]
            )
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


def test_a_composition_is_never_asked_for_tiles(fused: Path) -> None:
    """What maps a scene band by band meets a refusal, not half of the composition."""
    engine = EmbeddedEngine(fused, "cpu", 1, Telemetry())

    async def run() -> None:
        await engine.start()
        workers, timeline, telemetry = Workers(1), Timeline(30), Telemetry()
        try:
            finder, grader = choose(engine, "damage", "bd-fcn"), choose(engine, CROP_TASK, "bd-cnn")
            parts = [Segmenter(model, engine, workers, telemetry, timeline) for model in (finder, grader)]
            whole = FusedSegmenter(
                fuse(finder, grader), engine, workers, telemetry, timeline, finder=parts[0], grader=parts[1]
            )
            with pytest.raises(ModelUnsuitable, match="takes a pair whole"):
                await whole.infer({}, "probabilities")
        finally:
            await engine.close()

    asyncio.run(run())
