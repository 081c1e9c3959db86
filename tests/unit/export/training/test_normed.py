"""Normalisation for the time of training leaves the served network as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.checkpoints.files import read_checkpoint
from export.networks import build_network
from export.tasks.damage.samples import Draw
from export.tasks.damage.train import train
from export.training.normed import folded, normalised
from export.training.recipe import RunOptions, recipe_of

pytestmark = pytest.mark.processors


def test_folding_changes_layers_and_no_answer() -> None:
    torch.manual_seed(0)
    network = normalised(build_network("fcn", 0.125)).train()
    for _ in range(5):
        network(3 * torch.randn(2, 3, 32, 32) + 1)
    network.eval()
    kept, images = folded(network), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(kept(images), network(images), rtol=1e-4, atol=1e-4)
    assert kept.state_dict().keys() == build_network("fcn", 0.125).state_dict().keys()
    assert any("running_mean" in key for key in network.state_dict()), "the network in training keeps its own"


def test_a_run_with_normalisation_leaves_the_architectures_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 64)
    tiny = replace(recipe_of("fcn", "demo"), width=0.05, draw=Draw(32, 2), steps=2, scenes=1, normalised=True)
    checkpoint = read_checkpoint(train(tiny, None, tmp_path, RunOptions()))
    assert checkpoint.hyperparameters["normalised"] is True
    checkpoint.network()
