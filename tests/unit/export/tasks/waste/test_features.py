"""Pictures of what FANet's branches respond to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.cli import main
from export.networks.fanet import FANetUPer
from export.tasks.waste.features import responses
from tests.support.checkpoints import untrained, write
from tests.support.pictures import decode


def test_both_branches_of_every_stage_are_shown() -> None:
    network = untrained("fanet")
    assert isinstance(network, FANetUPer)
    found = responses(network, torch.randn(1, 3, 64, 96))
    assert list(found) == ["S", "R"]
    for maps in found.values():
        assert [each.shape for each in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
        assert all((each >= 0).all() and each.max() > 0 for each in maps)
    assert not any(np.array_equal(s, r) for s, r in zip(*found.values(), strict=True))


def test_the_hooks_are_gone_afterwards() -> None:
    network = untrained("fanet")
    assert isinstance(network, FANetUPer)
    responses(network, torch.randn(1, 3, 64, 64))
    assert not any(module._forward_hooks for module in network.modules())


def test_the_command_draws_a_picture(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, out = photos / "images" / "photo-0.png", tmp_path / "features.png"
    assert main(["features", str(write(tmp_path / "model.pt", "fanet")), str(photo), "--out", str(out)]) == 0
    picture = decode(out.read_bytes())
    assert picture.shape[1] > picture.shape[0] > 300
    fcn = str(write(tmp_path / "fcn.pt", "waste_fcn"))
    assert main(["features", fcn, str(photo), "--out", str(out)]) == 1
    assert "has no branches" in capsys.readouterr().err
