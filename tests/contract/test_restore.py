"""Models that take off clouds on every engine: images of any size, restored in tiles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.engines.base import Engine, choose
from gateway.inference.restoration import Restored, restore_image
from gateway.inference.segmenter import Segmenter
from gateway.observability.metrics import Telemetry
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from tests.support.trivial_restore import DIMMED, GROUND, THIN, write_trivial_restore

Factory = Callable[[Path], Engine]

CLEAR, HAZY, HIDDEN = 90, 180, 240


@pytest.fixture(scope="session")
def restoring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one model that takes off clouds."""
    root = tmp_path_factory.mktemp("restore")
    write_trivial_restore(root)
    return root


def ask(engine: Engine, image: np.ndarray, observed: np.ndarray | None = None) -> Restored:
    async def run() -> Restored:
        workers = Workers(Threads("worker", 2))
        await engine.start()
        try:
            model = choose(engine, "restore", "restore-gan")
            segmenter = Segmenter(engine, workers, Telemetry(), Timeline(30), model=model)
            found = await restore_image(segmenter, image, observed)
            assert segmenter.timeline.done == segmenter.timeline.total
            return found
        finally:
            await engine.close()
            workers.close()

    return asyncio.run(run())


@pytest.mark.parametrize("size", [(64, 64), (40, 50), (150, 210)])
def test_images_of_any_size_come_back_without_their_clouds(
    new_engine: Factory, restoring: Path, size: tuple[int, int]
) -> None:
    image = np.full((*size, 3), CLEAR, np.uint8)
    third = size[0] // 3
    image[:third], image[-third:] = HAZY, HIDDEN
    found = ask(new_engine(restoring), image)
    assert found.image.shape == image.shape
    assert (found.image[:third] == HAZY - DIMMED).all()
    assert (found.image[third:-third] == CLEAR).all()
    assert (found.image[-third:] == GROUND).all()
    assert (found.invented[:third] == THIN).all()
    assert (found.invented[third:-third] == 0).all()
    assert (found.invented[-third:] == 255).all()
    assert found.invented_share == pytest.approx(third / size[0])
    assert found.covered_share == pytest.approx(2 * third / size[0])


def test_what_is_not_observed_stays_black_and_is_not_counted(new_engine: Factory, restoring: Path) -> None:
    image, observed = np.full((80, 100, 3), HIDDEN, np.uint8), np.ones((80, 100), np.bool_)
    image[:, :50] = CLEAR
    observed[:, 75:] = False
    found = ask(new_engine(restoring), image, observed)
    assert not found.image[:, 75:].any()
    assert not found.invented[:, 75:].any()
    assert (found.image[:, 50:75] == GROUND).all()
    assert found.observed == 80 * 75
    assert found.invented_share == pytest.approx(1 / 3)
