"""Checkpoints in and out: nothing skipped, nothing run."""

from __future__ import annotations

import os
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from export.checkpoints.files import Checkpoint, read_checkpoint, write_checkpoint
from export.checkpoints.importing import import_weights
from export.errors import CheckpointError
from tests.support.checkpoints import WIDTH, checkpoint, untrained


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return untrained("fcn").state_dict()


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = checkpoint("siamunet")
    write_checkpoint(written, tmp_path / "model.pt")
    read = read_checkpoint(tmp_path / "model.pt")
    assert same(read.state_dict, written.state_dict)
    others = [field.name for field in fields(Checkpoint) if field.name != "state_dict"]
    assert [getattr(read, name) for name in others] == [getattr(written, name) for name in others]


def test_training_need_not_state_a_licence(tmp_path: Path) -> None:
    content = {key: value for key, value in vars(checkpoint("fcn")).items() if key != "licence"}
    assert read_checkpoint(saved(tmp_path / "model.pt", content)).licence == ""


def test_missing_and_unknown_entries_of_a_checkpoint_are_named(tmp_path: Path) -> None:
    content = dict(vars(checkpoint("fcn")))
    del content["threshold"], content["seed"]
    with pytest.raises(CheckpointError, match=r"lacks seed, threshold; .*import"):
        read_checkpoint(saved(tmp_path / "model.pt", content))
    with pytest.raises(CheckpointError, match="unknown keys: colour"):
        read_checkpoint(saved(tmp_path / "model.pt", {**vars(checkpoint("fcn")), "colour": "red"}))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("container", [None, "state_dict", "model_state_dict"])
def test_foreign_weights_are_found_in_their_container(
    tmp_path: Path, weights: dict[str, Tensor], container: str | None, prefix: str
) -> None:
    prefixed = {prefix + key: value for key, value in weights.items()}
    content = prefixed if container is None else {container: prefixed, "epoch": 7, "optimizer": {"lr": 0.1}}
    imported = import_weights(saved(tmp_path / "foreign.pth", content), "fcn", reduction=2, threshold=0.4)
    assert same(imported.state_dict, weights)
    assert (imported.width, imported.reduction, imported.threshold) == (WIDTH, 2, 0.4)


def test_safetensors_are_read(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    save_file(weights, tmp_path / "foreign.safetensors")
    assert same(import_weights(tmp_path / "foreign.safetensors", "fcn").state_dict, weights)


def test_an_imported_checkpoint_is_one_of_ours(tmp_path: Path) -> None:
    source = saved(tmp_path / "foreign.pt", untrained("siamunet").state_dict())
    imported = import_weights(source, "siamunet", data="a survey", licence="MIT")
    write_checkpoint(imported, tmp_path / "model.pt")
    read = read_checkpoint(tmp_path / "model.pt")
    assert (read.recipe, read.data, read.licence) == ("imported", "a survey", "MIT")
    assert not read.network().training


def test_every_key_at_fault_is_named(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    weights["decoder.bias"] = torch.zeros(1)
    weights["encoder.3.weight"] = torch.zeros(1, 2, 3, 3)
    del weights["head.bias"], weights["head.weight"]
    with pytest.raises(CheckpointError) as caught:
        import_weights(saved(tmp_path / "foreign.pt", weights), "fcn")
    message = str(caught.value)
    assert "missing: head.weight, head.bias" in message
    assert "unexpected: decoder.bias" in message
    assert "of another shape: encoder.3.weight is [1, 2, 3, 3] instead of [8, 4, 3, 3]" in message


def test_a_given_width_is_held_to(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match=r"not a fcn of width 0\.5: of another shape: encoder\.0\.weight"):
        import_weights(saved(tmp_path / "foreign.pt", weights), "fcn", width=0.5)


def test_without_its_first_layer_the_width_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"width cannot be told: there is no encoder\.0\.weight with 4 axes"):
        import_weights(saved(tmp_path / "foreign.pt", {"weight": torch.zeros(3)}), "fcn")


def test_an_unknown_architecture_is_named(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="unknown architecture 'vgg'"):
        import_weights(saved(tmp_path / "foreign.pt", weights), "vgg")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no weights"),
        ([1, 2], "holds no weights"),
        ({"state_dict": "none"}, "holds no weights"),
        ({"weight": torch.zeros(1), "epoch": 3}, "not weights: epoch"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_weights(saved(tmp_path / "foreign.pt", content), "fcn")


class _Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("read", [read_checkpoint, lambda path: import_weights(path, "fcn")], ids=["ours", "foreign"])
@pytest.mark.parametrize("modern", [True, False], ids=["zip", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path: Path, read: Any, modern: bool) -> None:
    trap = tmp_path / "ran"
    file = tmp_path / "model.pt"
    if modern:
        torch.save({"state_dict": _Payload(trap)}, file)
    else:
        file.write_bytes(pickle.dumps({"state_dict": _Payload(trap)}))
    with pytest.raises(CheckpointError, match="more than weights; code in it is never run"):
        read(file)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 and then nothing", b"\x80\x02}q"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        import_weights(tmp_path / name, "fcn")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    file = saved(tmp_path / "model.pt", weights)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="damaged"):
        import_weights(file, "fcn")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pt does not exist"):
        read_checkpoint(tmp_path / "absent.pt")
