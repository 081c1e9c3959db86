"""The way in for published checkpoints of IOG and DEXTR; the rest of importing is in `test_checkpoints`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from export.checkpoints.files import read_checkpoint
from export.checkpoints.importing import import_weights
from export.cli import main
from export.errors import CheckpointError
from export.networks import build_network
from tests.support.checkpoints import WIDTH, untrained

Weights = dict[str, Tensor]

PUBLISHED = ("iog", "iog_refine", "dextr")
"""The interactive networks that others have published weights of."""


def published(path: Path, architecture: str, change: Callable[[Weights], Weights] = dict) -> Path:
    """Write a file as the authors of `architecture` do, their weights changed."""
    prefix = "module." if architecture == "dextr" else ""
    weights = {prefix + key: value for key, value in untrained(architecture).state_dict().items()}
    torch.save(change(weights), path)
    return path


def uncounted(weights: Weights) -> Weights:
    return {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_a_published_file_becomes_a_checkpoint(
    tmp_path: Path, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = published(tmp_path / "published.pth", architecture)
    out = tmp_path / "model.pt"
    command = f"import {file} --architecture {architecture} --size 64 --licence MIT --out {out}"
    assert main(command.split()) == 0
    assert capsys.readouterr().out == f"{out}: {architecture} of width {WIDTH}, imported\n"
    checkpoint = read_checkpoint(out)
    assert same(checkpoint.state_dict, untrained(architecture).state_dict())
    assert (checkpoint.width, checkpoint.depths, checkpoint.size) == (WIDTH, "resnet26", 64)
    assert (checkpoint.threshold, checkpoint.licence) == (None, "MIT")
    assert not checkpoint.network().training


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_counters_that_old_torch_did_not_write_begin_at_zero(tmp_path: Path, architecture: str) -> None:
    checkpoint = import_weights(published(tmp_path / "old.pth", architecture, uncounted), architecture)
    assert checkpoint.recipe == "imported, without batch counters"
    counters = {key for key in checkpoint.state_dict if key.endswith("num_batches_tracked")}
    assert counters
    assert all(checkpoint.state_dict[key] == 0 for key in counters)
    assert same(uncounted(checkpoint.state_dict), uncounted(untrained(architecture).state_dict()))


def test_one_missing_counter_is_a_missing_key(tmp_path: Path) -> None:
    def damaged(weights: Weights) -> Weights:
        return {key: value for key, value in weights.items() if key != "backbone.bn1.num_batches_tracked"}

    file = published(tmp_path / "published.pth", "iog", damaged)
    with pytest.raises(CheckpointError, match=r"missing: backbone\.bn1\.num_batches_tracked$"):
        import_weights(file, "iog")


@pytest.mark.parametrize(("given", "wanted"), [("iog", "iog_refine"), ("iog_refine", "iog")])
def test_base_and_refinement_do_not_load_each_other(tmp_path: Path, given: str, wanted: str) -> None:
    file = published(tmp_path / "published.pth", given)
    kind = "missing" if wanted == "iog_refine" else "unexpected"
    with pytest.raises(CheckpointError, match=rf"{kind}: iog_points\.0\.weight, .*of another shape: psp4\.stages"):
        import_weights(file, wanted)


def test_every_key_at_fault_is_named(tmp_path: Path) -> None:
    def damaged(weights: Weights) -> Weights:
        weights["module.layer5.final.scale"] = weights.pop("module.layer5.final.weight")
        return weights

    with pytest.raises(CheckpointError) as caught:
        import_weights(published(tmp_path / "published.pth", "dextr", damaged), "dextr")
    assert "missing: layer5.final.weight" in str(caught.value)
    assert "unexpected: layer5.final.scale" in str(caught.value)


def test_a_backbone_of_unknown_depth_is_named(tmp_path: Path) -> None:
    def shorter(weights: Weights) -> Weights:
        return {key: value for key, value in weights.items() if "layer3.1." not in key}

    with pytest.raises(
        CheckpointError, match=r"no known backbone has \(2, 2, 1, 2\) blocks .*resnet101, resnet50, resnet26"
    ):
        import_weights(published(tmp_path / "published.pth", "iog", shorter), "iog")


def test_the_published_size_is_recognised(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = build_network("iog").state_dict()
    # One zero, repeated: the file is small.
    torch.save({key: torch.zeros(()).expand(value.shape) for key, value in shapes.items()}, tmp_path / "published.pth")
    checkpoint = import_weights(tmp_path / "published.pth", "iog")
    assert (checkpoint.width, checkpoint.depths, checkpoint.size) == (1.0, "resnet101", 512)
    assert len(checkpoint.state_dict) == 918


@pytest.mark.parametrize("size", ["16", "100", "-64"])
def test_crops_have_sizes_that_the_network_can_halve(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["import", "model.pt", "--architecture", "iog", "--out", "out.pt", "--size", size])
    assert "--size" in capsys.readouterr().err
