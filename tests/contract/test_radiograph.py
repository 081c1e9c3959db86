"""Radiograph models on every engine: RGB tiles in, scores and evidence out, and evidence only where it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.engines.base import Engine, Tensors, choose
from gateway.scheduling.timeline import Timeline
from tests.support.trivial_radiograph import evidence_of, scores_of, write_trivial_radiograph

Factory = Callable[[Path], Engine]
SIZE = 32


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one radiograph model."""
    root = tmp_path_factory.mktemp("films")
    write_trivial_radiograph(root, "cxr", size=SIZE, max_batch_size=3)
    return root


def ask(engine: Engine, tiles: np.ndarray, *outputs: str) -> Tensors:
    async def run() -> Tensors:
        await engine.start()
        try:
            return await engine.infer(choose(engine, "radiograph", "cxr"), {"image": tiles}, outputs, Timeline(30))
        finally:
            await engine.close()

    return asyncio.run(run())


@pytest.mark.parametrize("items", [1, 3, 7])
def test_films_become_scores_and_evidence(new_engine: Factory, films: Path, items: int) -> None:
    tiles = np.random.default_rng(items).integers(0, 256, (items, SIZE, SIZE, 3), np.uint8)
    answer = ask(new_engine(films), tiles, "scores", "saliency")
    assert answer["scores"].dtype == np.float32
    np.testing.assert_allclose(answer["scores"], scores_of(tiles), atol=1e-5)
    np.testing.assert_allclose(answer["scores"].sum(axis=1), 1, atol=1e-5)
    assert answer["saliency"].dtype == np.uint8
    assert np.abs(answer["saliency"].astype(int) - evidence_of(tiles)).max() <= 1
    assert (answer["saliency"].max(axis=(1, 2)) >= 254).all()


def test_evidence_stays_where_it_is_unless_it_is_asked_for(new_engine: Factory, films: Path) -> None:
    answer = ask(new_engine(films), np.zeros((2, SIZE, SIZE, 3), np.uint8), "scores")
    assert set(answer) == {"scores"}
    np.testing.assert_allclose(answer["scores"], [[1, 0], [1, 0]])
