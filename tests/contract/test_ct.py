"""CT models on every engine: signed Hounsfield units in, label maps at twice the size out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.engines.base import Engine, Tensors, choose
from gateway.scheduling.timeline import Timeline
from gateway.vision.labels import decide
from tests.support.trivial_ct import labels_of, probabilities_of, write_trivial_ct

Factory = Callable[[Path], Engine]
SIZE = 32


@pytest.fixture(scope="session")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one CT model."""
    root = tmp_path_factory.mktemp("ct")
    write_trivial_ct(root, size=SIZE, max_batch_size=3)
    return root


def ask(engine: Engine, units: np.ndarray) -> Tensors:
    async def run() -> Tensors:
        await engine.start()
        try:
            model = choose(engine, "ct", "cogseg")
            return await engine.infer(model, {"image": units}, ["label_map", "probabilities"], Timeline(30))
        finally:
            await engine.close()

    return asyncio.run(run())


@pytest.mark.parametrize("items", [1, 3, 7])
def test_hounsfield_units_become_label_maps(new_engine: Factory, ct: Path, items: int) -> None:
    units = np.random.default_rng(items).integers(-3024, 3072, (items, SIZE, SIZE), np.int16)
    answer = ask(new_engine(ct), units)
    np.testing.assert_array_equal(answer["label_map"], labels_of(units))
    np.testing.assert_array_equal(answer["probabilities"], probabilities_of(units))
    np.testing.assert_array_equal(answer["label_map"], decide(answer["probabilities"], None))
    assert answer["label_map"].dtype == np.uint8
    assert len(np.unique(answer["label_map"])) == 4, "a unit that loses its sign falls into another band"
