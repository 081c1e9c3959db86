"""The exported networks, on every engine: the same bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from export.parity.inputs import draw_clicked, draw_slices
from export.registry import CATALOG
from gateway.engines.base import Engine, Model, Tensors, choose
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.engines.triton.engine import TritonEngine
from gateway.observability.metrics import Telemetry
from gateway.repository.card import Card
from gateway.scheduling.timeline import Timeline
from tests.support.checkpoints import checkpoint, small_entries, small_entry, untrained
from tests.support.pictures import noise
from tests.support.triton import Tritons
from tests.support.unproven import write_unproven

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
BATCHES = (1, 2, 3, 4, 5, 9)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a small, untrained network of every architecture of the catalogue."""
    root = tmp_path_factory.mktemp("networks")
    for architecture in dict.fromkeys(entry.architecture for entry in CATALOG.values()):
        network, made = untrained(architecture), checkpoint(architecture)
        write_unproven(root, network, made, small_entries(architecture))
        for entry in CATALOG.values():
            if entry.on_request and entry.architecture == architecture:
                write_unproven(root, network, made, [small_entry(entry.name)])
    return root


def answers(engine: Engine, name: str) -> list[Tensors]:
    """Return what `engine` makes of batches of every size, all asked for at once; a head goes on from its encoder."""

    async def ask(size: int) -> Tensors:
        model = choose(engine, CATALOG[name].task, name)
        inputs = batch(model.card, size)
        if model.card.clicks and model.card.clicks.encoder:
            encoder = choose(engine, "interactive-encoder", model.card.clicks.encoder)
            inputs = {**await infer(engine, encoder, batch(encoder.card, size)), "clicks": inputs["clicks"]}
        return await infer(engine, model, inputs)

    async def ask_all() -> list[Tensors]:
        await engine.start()
        try:
            return await asyncio.gather(*map(ask, BATCHES))
        finally:
            await engine.close()

    return asyncio.run(ask_all())


async def infer(engine: Engine, model: Model, inputs: Tensors) -> Tensors:
    return await engine.infer(model, inputs, [spec.name for spec in model.card.outputs], Timeline(60))


def batch(card: Card, size: int) -> Tensors:
    """Return `size` items of whatever the model's caller has to give it."""
    if card.clicks is not None:
        drawn = draw_clicked("natural", card.inputs[-1].shape[-1], size, card.clicks.size)
        return {"clicks": drawn.clicks} if card.clicks.encoder else {"crop": drawn.crops, "clicks": drawn.first}
    if card.window is not None:
        return {"image": draw_slices("natural", size, card.tile)}
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
        assert one.keys() == other.keys()
        for output in one:
            np.testing.assert_array_equal(one[output], other[output])
    first = next(iter(ours[-1].values()))
    assert len(np.unique(first)) > 1, "a network that says one thing of everything proves nothing"
