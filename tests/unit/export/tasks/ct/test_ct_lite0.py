"""Lesions on the public encoder: grey as it knows colours, any side, a graph that is what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.build import build
from export.checkpoints.files import read_checkpoint
from export.errors import CheckpointError
from export.registry import CATALOG, specs_of
from export.tasks.ct.losses import LossWeights
from export.tasks.ct.recipe import SliceRecipe
from export.tasks.ct.samples import Draw
from export.tasks.ct.train import SliceRun, train
from export.training.recipe import RunOptions, recipe_of
from export.verify import verify, verify_source
from gateway.repository.store import scan
from tests.support.checkpoints import untrained

pytestmark = [pytest.mark.processors, pytest.mark.training]

TINY = SliceRecipe(
    network="ct_lite0",
    name="tiny",
    width=1 / 16,
    draw=Draw(2),
    loss=LossWeights(dice=1.0),
    steps=2,
    learning_rate=1e-3,
    threshold=0.5,
    size=64,
)


def test_grey_reaches_the_encoder_in_the_range_of_its_images() -> None:
    network = untrained("ct_lite0")
    seen: list[torch.Tensor] = []
    network.get_submodule("lite0").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 32, 32))
    dark, bright = seen[0].unbind()
    assert dark.unique().item() == pytest.approx(-127 / 128)
    assert bright.unique().item() == pytest.approx(1.0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 72)])
def test_any_side_is_answered_at_its_own(height: int, width: int) -> None:
    with torch.inference_mode():
        assert untrained("ct_lite0")(torch.rand(1, 1, height, width)).shape == (1, 4, height, width)


def test_what_is_trained_is_built_and_verified(slices: Path, tmp_path: Path) -> None:
    file = train(TINY, slices, tmp_path / "run", RunOptions())
    assert read_checkpoint(file).architecture == "ct_lite0"
    build(file, specs_of("ct_lite0"), tmp_path / "models")
    repository = scan(tmp_path / "models")
    assert repository.models["ct-lite0"].card.network.encoder == "lite0"
    assert verify_source(repository, file) == verify(repository) == ()


def test_a_recipe_that_begins_with_public_weights_asks_for_them(slices: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        train(replace(TINY, pretrained=True), slices, tmp_path, RunOptions(encoder=tmp_path / "missing.pth"))


def test_the_recipe_that_ships_begins_with_the_public_weights() -> None:
    chosen = recipe_of("ct_lite0", "demo")
    assert chosen.pretrained
    assert chosen.draw.crop % 32 == 0
    assert "Apache-2.0" in CATALOG["ct-lite0"].licence
    encoder, others = (group["share"] for group in SliceRun(TINY, RunOptions())._optimiser.param_groups)
    assert (encoder, others) == (TINY.encoder_rate, 1.0)
