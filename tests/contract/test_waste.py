"""Models of waste on every engine: photographs of any size, at the model's scale and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.engines.base import Engine, choose
from gateway.inference.label_maps import LabelMap, find_regions
from gateway.inference.segmenter import Segmenter
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.waste.pipeline import map_waste
from gateway.vision.labels import decide
from gateway.vision.regions import Region
from gateway.vision.resizing import from_scale, to_scale
from tests.support.pictures import noise
from tests.support.trivial import probability_table
from tests.support.trivial_waste import write_trivial_waste

Factory = Callable[[Path], Engine]


@pytest.fixture(scope="session")
def waste(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one model of waste."""
    root = tmp_path_factory.mktemp("waste")
    write_trivial_waste(root, max_batch_size=3)
    return root


def ask(engine: Engine, photo: np.ndarray) -> tuple[LabelMap, tuple[Region, ...]]:
    async def run() -> tuple[LabelMap, tuple[Region, ...]]:
        workers = Workers(Threads("worker", 2))
        await engine.start()
        try:
            model = choose(engine, "waste", "waste-lite0")
            segmenter = Segmenter(engine, workers, Telemetry(), Timeline(30), model=model)
            found = await map_waste(segmenter, photo)
            return found, await find_regions(segmenter, found, 1)
        finally:
            await engine.close()
            workers.close()

    return asyncio.run(run())


@pytest.mark.parametrize("size", [(64, 64), (200, 330), (70, 500)])
def test_photographs_become_label_maps_of_their_size(new_engine: Factory, waste: Path, size: tuple[int, int]) -> None:
    photo = noise(*size, seed=size[1])
    found, pieces = ask(new_engine(waste), photo)
    scaled = probability_table(3)[to_scale(photo, 64, 256, 32)[..., 1]]
    bands = [band for _, band in from_scale(scaled, size)]
    np.testing.assert_array_equal(found.label_map, np.concatenate([decide(band, None) for band in bands]))
    np.testing.assert_array_equal(found.sureness, np.concatenate([band.max(axis=-1) for band in bands]))
    assert found.counts == tuple(np.bincount(found.label_map.ravel(), minlength=3).tolist())
    assert sum(piece.area for piece in pieces) == sum(found.counts[1:])
    assert len(np.unique(found.label_map)) == 3
