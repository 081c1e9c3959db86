"""The exported networks, on every engine: the same answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.parity.inputs import draw_clicked, draw_rasters, draw_slices
from export.registry import CATALOG
from gateway.engines.base import Engine, Model, Tensors, choose
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.engines.triton.engine import TritonEngine
from gateway.observability.metrics import Telemetry
from gateway.repository.card import Card
from gateway.scheduling.timeline import Timeline
from tests.support.checkpoints import checkpoint, small_entry, untrained
from tests.support.pictures import noise
from tests.support.places import ROOT
from tests.support.triton import Tritons
from tests.support.unproven import write_unproven

pytestmark = [pytest.mark.e2e, pytest.mark.training]
SHIPPED = ROOT / "model_repository"
BATCHES = (1, 2, 3, 9)
"""One item, as many as there are lanes, one more, and one more than most of the models take at once."""

PATIENCE_SECONDS = 300
"""For one batch: what is answered matters here, not when, and the machine may be busy with other things."""

Answers = dict[str, list[Tensors]]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the shipped models, and a small, untrained one of each that the catalogue has besides.

    An export takes up to a minute, and no shipped model needs one.
    """
    root = tmp_path_factory.mktemp("networks") / "models"
    copytree(SHIPPED, root)
    for name, entry in CATALOG.items():
        if not (root / name).exists():
            network, made = untrained(entry.architecture), checkpoint(entry.architecture)
            write_unproven(root, network, made, [small_entry(name)])
    return root


@pytest.fixture(scope="module")
def embedded(networks: Path) -> Answers:
    """Return what the embedded engine answers."""
    return answers(EmbeddedEngine(networks, "cpu", 2, Telemetry()))


@pytest.fixture(scope="module", params=[True, False], ids=["shared-memory", "binary"])
def triton(networks: Path, tritons: Tritons, request: pytest.FixtureRequest) -> Answers:
    """Return what Triton answers, by either transport."""
    url = tritons.serving(networks).url
    return answers(TritonEngine(networks, url, request.param, 64 * 1024 * 1024, Telemetry()))


def answers(engine: Engine) -> Answers:
    """Return what `engine` makes of batches of every size, all asked for at once; a head goes on from its encoder."""

    async def ask(name: str, size: int) -> Tensors:
        model = choose(engine, CATALOG[name].task, name)
        inputs = batch(model.card, size)
        if model.card.clicks and model.card.clicks.encoder:
            encoder = choose(engine, "interactive-encoder", model.card.clicks.encoder)
            inputs = {**await infer(engine, encoder, batch(encoder.card, size)), "clicks": inputs["clicks"]}
        return await infer(engine, model, inputs)

    async def ask_all() -> Answers:
        await engine.start()
        try:
            return {name: await asyncio.gather(*(ask(name, size) for size in BATCHES)) for name in CATALOG}
        finally:
            await engine.close()

    return asyncio.run(ask_all())


async def infer(engine: Engine, model: Model, inputs: Tensors) -> Tensors:
    return await engine.infer(model, inputs, [spec.name for spec in model.card.outputs], Timeline(PATIENCE_SECONDS))


def batch(card: Card, size: int) -> Tensors:
    """Return `size` items of whatever the model's caller has to give it."""
    if card.clicks is not None:
        drawn = draw_clicked("natural", card.inputs[-1].shape[-1], size, card.clicks.size)
        return {"clicks": drawn.clicks} if card.clicks.encoder else {"crop": drawn.crops, "clicks": drawn.first}
    if card.window is not None:
        return {"image": draw_slices("natural", size, card.tile)}
    images: Tensors = {
        spec.name: np.stack([noise(card.tile, card.tile, seed=100 * size + 10 * n + i) for n in range(size)])
        for i, spec in enumerate(card.inputs)
        if len(spec.shape) == 3
    }
    beside = [raster.input for raster in card.rasters]
    return {**images, **dict(zip(beside, draw_rasters(beside, "natural", size, card.tile), strict=True))}


def rounded_alike(one: NDArray[Any], other: NDArray[Any], labels: bool) -> bool:
    """Return whether two outputs are one but for the last digit of a sum: floats, levels, and values at a threshold."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind == "f":
        step = 4 * float(np.finfo(one.dtype).eps)
        return bool(np.allclose(one.astype(np.float64), other, rtol=step, atol=step * float(np.abs(other).max())))
    differing = one != other
    beyond = differing & (np.abs(one.astype(int) - other) > 1) & (not labels)
    return bool(differing.mean() <= 1e-3 and not beyond.any())


@pytest.mark.parametrize("name", CATALOG)
def test_both_engines_answer_alike(embedded: Answers, triton: Answers, name: str) -> None:
    """Which items run together is up to each engine, and one row alone may be summed in another order than two."""
    for one, other in zip(embedded[name], triton[name], strict=True):
        assert one.keys() == other.keys()
        for output in one:
            assert rounded_alike(one[output], other[output], output == "label_map"), output
    first = next(iter(embedded[name][-1].values()))
    assert len(np.unique(first)) > 1, "a network that says one thing of everything proves nothing"
