"""Whole scenes on every engine: batches of tiles that overtake each other, in one map."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gateway.engines.base import Engine, choose
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.picture_rasters import Picture
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.damage.scene_bands import Band
from gateway.tasks.damage.scene_pipeline import SceneMap, map_scene
from tests.support.pictures import noise
from tests.support.trivial import label_table

Factory = Callable[[Path], Engine]
LABELS = label_table(5)


class Kept:
    """A sink that keeps the label map."""

    def __init__(self) -> None:
        self.labels: list[np.ndarray] = []

    def write(self, band: Band) -> None:
        self.labels.append(band.labels.copy())


def test_a_scene_is_the_same_map(new_engine: Factory, repository: Path) -> None:
    pixels = noise(700, 500, seed=2)
    scene, kept = Picture(pixels, np.ones((700, 500), np.bool_)), Kept()

    async def run() -> SceneMap:
        engine, workers = new_engine(repository), Workers(Threads("worker", 2))
        await engine.start()
        try:
            segmenter = Segmenter(engine, workers, Telemetry(), Timeline(60), model=choose(engine, "damage", "pair"))
            return await map_scene(segmenter, scene, scene, [kept])
        finally:
            await engine.close()
            workers.close()

    found = asyncio.run(run())
    np.testing.assert_array_equal(np.concatenate(kept.labels), LABELS[pixels[..., 1]])
    assert sum(found.counts) == 700 * 500
