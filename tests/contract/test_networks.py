"""The exported networks, on every engine: the same bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from export.build import build
from export.catalog import CATALOG
from gateway.engines.base import Engine, Tensors, choose
from gateway.engines.embedded import EmbeddedEngine
from gateway.engines.triton import TritonEngine
from gateway.ops.telemetry import Telemetry
from gateway.ops.timeline import Timeline
from gateway.repository.card import Card
from tests.support.checkpoints import small_entry, write
from tests.support.pictures import noise
from tests.support.triton import Tritons

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
BATCHES = (1, 2, 3, 4, 5, 9)
OUTPUTS = ("label_map", "probabilities")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a small, untrained network of every architecture of the catalogue."""
    root, checkpoints = tmp_path_factory.mktemp("networks"), tmp_path_factory.mktemp("checkpoints")
    for name, entry in CATALOG.items():
        build(write(checkpoints / f"{name}.pt", entry.architecture), small_entry(name), root)
    return root


def answers(engine: Engine, name: str) -> list[Tensors]:
    """Return what `engine` makes of batches of every size, all asked for at once."""

    async def ask() -> list[Tensors]:
        await engine.start()
        try:
            model = choose(engine, "damage", name)
            batches = [batch(model.card, size) for size in BATCHES]
            return await asyncio.gather(*(engine.infer(model, each, OUTPUTS, Timeline(60)) for each in batches))
        finally:
            await engine.close()

    return asyncio.run(ask())


def batch(card: Card, size: int) -> Tensors:
    """Return `size` tiles for each input, no two alike."""
    return {
        spec.name: np.stack([noise(card.tile, card.tile, seed=100 * size + 10 * n + i) for n in range(size)])
        for i, spec in enumerate(card.inputs)
    }


@pytest.mark.parametrize("share", [True, False], ids=["shared-memory", "binary"])
@pytest.mark.parametrize("name", CATALOG)
def test_both_engines_answer_with_the_same_bytes(networks: Path, tritons: Tritons, name: str, share: bool) -> None:
    url = tritons.serving(networks).url
    theirs = answers(TritonEngine(networks, url, share, 64 * 1024 * 1024, Telemetry()), name)
    ours = answers(EmbeddedEngine(networks, "cpu", 2, Telemetry()), name)
    for one, other in zip(ours, theirs, strict=True):
        for output in OUTPUTS:
            np.testing.assert_array_equal(one[output], other[output])
    assert len(np.unique(ours[-1]["label_map"])) > 1, "a network that says one thing of everything proves nothing"
