"""Models of land cover on every engine: images of any resolution, at a metre a pixel and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.engines.base import Engine, choose
from gateway.inference.segmenter import Segmenter
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.land.pipeline import Land, map_land
from tests.support.trivial_land import GREEN, write_trivial_land

Factory = Callable[[Path], Engine]


@pytest.fixture(scope="session")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one model of land cover."""
    root = tmp_path_factory.mktemp("land")
    write_trivial_land(root)
    return root


def ask(engine: Engine, image: np.ndarray, resolution: float, observed: np.ndarray) -> Land:
    async def run() -> Land:
        workers = Workers(Threads("worker", 2))
        await engine.start()
        try:
            model = choose(engine, "land", "land-lite0")
            segmenter = Segmenter(engine, workers, Telemetry(), Timeline(30), model=model)
            return await map_land(segmenter, image, (resolution, resolution), observed)
        finally:
            await engine.close()
            workers.close()

    return asyncio.run(run())


@pytest.mark.parametrize("resolution", [0.25, 1.0, 2.0])
def test_images_are_seen_at_a_metre_and_labelled_at_their_own_size(
    new_engine: Factory, land: Path, resolution: float
) -> None:
    image, observed = np.full((120, 160, 3), GREEN["road"], np.uint8), np.ones((120, 160), np.bool_)
    image[:, 80:] = GREEN["water"]
    observed[:40] = False
    found = ask(new_engine(land), image, resolution, observed)
    assert found.seen.shape == (120 * resolution, 160 * resolution)
    assert found.label_map.shape == (120, 160)
    assert (found.label_map[:40] == 255).all()
    assert (found.label_map[40:, :76] == 2).all()
    assert (found.label_map[40:, 84:] == 4).all()
    assert sum(found.counts) == 80 * 160
    assert set(np.unique(found.seen)) >= {2, 4, 255}
