"""Weights that Keras kept come in whole or not at all."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from export.checkpoints.files import read_checkpoint
from export.checkpoints.importing import import_weights
from export.cli import main
from export.errors import CheckpointError
from export.networks import build_network
from export.networks.keras_layers import FilmNetwork, keras_names

pytestmark = pytest.mark.training

WIDTH = 1 / 32
Variables = list[tuple[str, NDArray[np.float32]]]
Layers = dict[str, Variables]
Writer = Callable[[Path, Layers], Path]


def network(architecture: str) -> FilmNetwork:
    torch.manual_seed(0)
    made = cast(FilmNetwork, build_network(architecture, WIDTH, "full"))
    for key, value in made.state_dict().items():
        if "running" in key:
            value.copy_(torch.rand(value.shape) + 0.5)
    return made.eval()


def as_keras(made: FilmNetwork, *, head: bool = True) -> Layers:
    """Return the weights of a network as Keras names and turns them."""
    heads = set(made.head.modules())
    return {name: _variables(module) for name, module in keras_names(made) if head or module not in heads}


def _variables(module: nn.Module) -> Variables:
    normal = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    names = {
        "weight": "gamma" if normal else "kernel",
        "bias": "beta" if normal else "bias",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    state = module.state_dict()
    return [(names[key], state[key].numpy().transpose(axes[state[key].ndim])) for key in names if key in state]


def renumbered(layers: Layers, first: int = 7) -> Layers:
    """Return the layers as a session names them that has made others before."""

    def later(name: str) -> str:
        for kind in ("conv2d", "batch_normalization", "dense"):
            rest = name.removeprefix(kind)
            if name.startswith(kind) and (not rest or rest.removeprefix("_").isdigit()):
                return f"{kind}_{first + int(rest.removeprefix('_') or 0)}"
        return name

    return {later(name): variables for name, variables in layers.items()}


def old(path: Path, layers: Layers) -> Path:
    """Write a file as Keras 1 and 2 do: a group a layer, variables by name."""
    with h5py.File(path, "w") as file:
        for name, variables in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{variable}:0" for variable, _ in variables]
            for variable, values in variables:
                group[f"{name}/{variable}:0"] = values
    return path


def old_whole(path: Path, layers: Layers) -> Path:
    """Write a file as `model.save` of Keras 2 does, of a backbone that is a model within the model."""
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        file.create_group("optimizer_weights")["adam/iter:0"] = 3
        for name, variables in layers.items():
            headed = name.startswith("dense") or variables[0][1].shape == (scaled_hidden(),)
            group = weights.require_group(name if headed else "backbone")
            group.attrs["weight_names"] = [f"{name}/{variable}:0" for variable, _ in variables]
            for variable, values in variables:
                group[f"{name}/{variable}:0"] = values
    return path


def scaled_hidden() -> int:
    return round(128 * WIDTH)


def new(path: Path, layers: Layers) -> Path:
    """Write a file as Keras 3 does: layers by their class, their names as attributes, variables by number."""
    with h5py.File(path, "w") as file:
        for number, (name, variables) in enumerate(layers.items()):
            group = file.create_group(f"layers/functional/layers/kind_{number}/vars")
            group.attrs["name"] = name
            for index, (_, values) in enumerate(variables):
                group[str(index)] = values
        file["optimizer/vars/0"] = 3
    return path


def archive(path: Path, layers: Layers) -> Path:
    """Write a .keras file, whose description of the layers no one should run."""
    inner = new(path.with_suffix(".weights.h5"), layers)
    path = path.with_suffix(".keras")
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("config.json", '{"class_name": "Lambda", "config": {"function": "raise SystemExit"}}')
        target.write(inner, "model.weights.h5")
    return path


@pytest.mark.parametrize("writer", [old, new, archive])
@pytest.mark.parametrize("architecture", ["inceptionv3", "inception_resnetv2", "resnet101v2", "densenet201"])
def test_a_whole_file_becomes_a_checkpoint(architecture: str, writer: Writer, tmp_path: Path) -> None:
    made = network(architecture)
    file = writer(tmp_path / "whole.h5", renumbered(as_keras(made)))
    checkpoint = import_weights(file, architecture, width=WIDTH, licence="MIT")
    assert checkpoint.state_dict.keys() == made.state_dict().keys()
    for key, value in made.state_dict().items():
        torch.testing.assert_close(checkpoint.state_dict[key], value, rtol=0, atol=0)
    assert (checkpoint.recipe, checkpoint.threshold, checkpoint.size) == ("imported from Keras", 0.5, 224)
    assert (checkpoint.licence, checkpoint.depths) == ("MIT", "full")
    images = torch.rand(1, 3, 80, 80)
    with torch.inference_mode():
        torch.testing.assert_close(checkpoint.network()(images), made(images))


def test_a_model_within_a_model_is_read_too(tmp_path: Path) -> None:
    made = network("resnet101v2")
    checkpoint = import_weights(old_whole(tmp_path / "w.h5", as_keras(made)), "resnet101v2", width=WIDTH)
    assert checkpoint.state_dict.keys() == made.state_dict().keys()


def test_old_names_with_slashes_are_the_same(tmp_path: Path) -> None:
    made = network("densenet201")
    layers = {
        name.replace("conv1_", "conv1/") if name.startswith("conv1_") else name: variables
        for name, variables in as_keras(made, head=False).items()
    }
    assert "conv1/conv" in layers
    checkpoint = import_weights(old(tmp_path / "notop.h5", layers), "densenet201", width=WIDTH)
    assert torch.equal(
        checkpoint.state_dict["backbone.conv1_conv.weight"], made.state_dict()["backbone.conv1_conv.weight"]
    )


def test_a_file_without_a_head_becomes_a_backbone_that_cannot_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = network("densenet201")
    file, out = old(tmp_path / "notop.h5", as_keras(made, head=False)), tmp_path / "start.pt"
    assert main(f"import {file} --architecture densenet201 --width {WIDTH} --out {out}".split()) == 0
    assert "imported from Keras, backbone alone" in capsys.readouterr().out
    start = read_checkpoint(out)
    assert start.state_dict.keys() == {key for key in made.state_dict() if key.startswith("backbone.")}
    assert main(["build", str(out), "--repository", str(tmp_path / "models")]) == 1
    assert "missing: head.dense.weight" in capsys.readouterr().err


def test_everything_that_is_missing_or_unexpected_is_named(tmp_path: Path) -> None:
    layers = as_keras(network("resnet101v2"))
    del layers["conv2_block1_0_conv"], layers["post_bn"]
    layers["predictions"], layers["conv9"] = layers["dense"], layers["conv1_conv"]
    [(name, kernel), bias] = layers["conv3_block1_3_conv"]
    layers["conv3_block1_3_conv"] = [(name, kernel[..., :-1]), bias]
    layers["conv1_conv"] = layers["conv1_conv"][:1]
    with pytest.raises(CheckpointError) as refused:
        import_weights(new(tmp_path / "odd.weights.h5", layers), "resnet101v2", width=WIDTH)
    said = str(refused.value)
    assert "missing layers conv2_block1_0_conv, post_bn;" in said
    assert "unexpected layers conv9, predictions" in said
    assert "conv3_block1_3_conv has variables of" in said
    assert "conv1_conv has variables of" in said


def test_what_is_no_keras_file_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.h5"
    with pytest.raises(CheckpointError, match="does not exist"):
        import_weights(broken, "densenet201")
    for suffix in (".h5", ".keras"):
        broken.with_suffix(suffix).write_bytes(b"neither")
        with pytest.raises(CheckpointError, match="is damaged or holds no Keras weights"):
            import_weights(broken.with_suffix(suffix), "densenet201")
    with pytest.raises(CheckpointError, match="fcn is none of them"):
        import_weights(broken, "fcn")


def test_weights_in_another_file_are_not_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(1000, np.float32).tobytes())
    layers = as_keras(network("densenet201"), head=False)
    path = old(tmp_path / "linked.h5", layers)
    with h5py.File(path, "a") as file:
        shape = file["bn/bn/gamma:0"].shape
        del file["bn/bn/gamma:0"]
        file.create_dataset("bn/bn/gamma:0", shape, "f4", external=[(str(secret), 0, 4 * shape[0])])
    with pytest.raises(CheckpointError, match="bn lies in another file"):
        import_weights(path, "densenet201", width=WIDTH)
