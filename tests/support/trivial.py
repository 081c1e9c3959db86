"""A model that costs next to nothing, for tests and benchmarks of everything around a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.repository.triton import write_config_files
from gateway.repository.card import Card, ClassSpec, Network, TensorSpec, VoteSpec, read_card, write_card
from gateway.repository.record import Drift, Figures, Parity, Training
from gateway.repository.store import file_digest, labels_text

PALETTE = ((0, 0, 0), (0, 128, 0), (0, 0, 255), (255, 165, 0), (255, 0, 0))


def label_table(classes: int, shift: int = 0) -> np.ndarray:
    """Return the label of each brightness 0–255, uint8, (256,): `classes` equal bands, the first of value `shift`."""
    return ((np.arange(256) * classes // 256 + shift) % classes).astype(np.uint8)


def probability_table(classes: int, shift: int = 0) -> np.ndarray:
    """Return the quantised probabilities of each brightness, uint8, (256, classes): 0.8 or more for its label."""
    rest = 51 // classes
    table = np.full((256, classes), rest, np.uint8)
    table[np.arange(256), label_table(classes, shift)] = 255 - rest * (classes - 1)
    return table


def write_trivial_model(
    root: Path,
    name: str = "trivial",
    *,
    tile: int = 64,
    overlap: int = 16,
    inputs: Sequence[str] = ("pre", "post"),
    classes: int = 5,
    max_batch_size: int = 8,
    shift: int = 0,
    vote: VoteSpec | None = None,
) -> Path:
    """Write a complete damage model of one version under `root` and return its folder.

    The label of a pixel is the band of its green value in the last input (`label_table`).
    """
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(banded_graph(tile, inputs, classes, shift), model_file)
    image, outputs = (tile, tile, 3), (tile, tile)
    card = Card(
        name=name,
        title="Trivial",
        task="damage",
        summary="Bands of brightness.",
        inputs=tuple(TensorSpec(name=role, dtype="uint8", shape=image) for role in inputs),
        outputs=(
            TensorSpec(name="label_map", dtype="uint8", shape=outputs),
            TensorSpec(name="probabilities", dtype="uint8", shape=(*outputs, classes)),
        ),
        max_batch_size=max_batch_size,
        overlap=overlap,
        vote=vote,
        classes=tuple(ClassSpec(value=v, name=f"band-{v}", colour=PALETTE[v]) for v in range(classes)),
        network=Network(architecture="table", width=1, parameters=256 * (1 + classes)),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory


def made_by_hand() -> dict[str, Any]:
    """Return what the cards of all trivial models say of where they come from."""
    return {
        "format": "onnx",
        "training": Training(data="none", recipe="none", steps=0, seconds=0, device="cpu"),
        "figures": (
            Figures(split="none", images=1, metrics={"accuracy": 1}, baseline_name="none", baseline={"accuracy": 1}),
        ),
        "licence": "Apache-2.0",
        "intended_use": "Tests.",
        "limitations": "Knows nothing.",
        "source_digest": f"sha256:{0:064x}",
        "parity": Parity(
            tolerance_probability=0,
            tolerance_flipped=0,
            versions={"onnx": onnx.__version__},
            comparisons=(Drift(format="onnx", tiles="noise", batch=1, probability_difference=0, flipped_share=0),),
        ),
    }


def write_folder(card: Card, directory: Path) -> None:
    """Write what lies beside the versions of a model."""
    write_card(card, directory / "card.json")
    (directory / "labels.txt").write_text(labels_text(card), encoding="utf-8")
    write_config_files(card, directory)


def write_version(directory: Path, version: int, shift: int) -> str:
    """Add a version to a trivial model, or replace it, and return its digest; it differs by the `label_table`."""
    card = read_card(directory / "card.json")
    model_file = directory / str(version) / "model.onnx"
    model_file.parent.mkdir(exist_ok=True)
    onnx.save(banded_graph(card.tile, [spec.name for spec in card.inputs], len(card.classes), shift), model_file)
    return declare_version(directory, version)


def declare_version(directory: Path, version: int) -> str:
    """Make the card name the version's file as it is now, whatever it holds, and return its digest."""
    card = read_card(directory / "card.json")
    digest = file_digest(directory / str(version) / "model.onnx")
    digests = {**card.digests, str(version): digest}
    write_card(card.model_copy(update={"digests": digests}), directory / "card.json")
    return digest


def damage_version(directory: Path, version: int) -> None:
    """Cut a version's file in half and declare that, so that only loading it can tell."""
    model_file = directory / str(version) / "model.onnx"
    content = model_file.read_bytes()
    model_file.write_bytes(content[: len(content) // 2])
    declare_version(directory, version)


def remove_version(directory: Path, version: int) -> None:
    """Remove a version, and its digest from the card."""
    card = read_card(directory / "card.json")
    digests = {number: digest for number, digest in card.digests.items() if number != str(version)}
    write_card(card.model_copy(update={"digests": digests}), directory / "card.json")
    rmtree(directory / str(version))


def banded_graph(tile: int, inputs: Sequence[str], classes: int, shift: int = 0) -> onnx.ModelProto:
    """Return a graph that looks labels and probabilities up by the green channel of the last input."""
    nodes = [
        helper.make_node("Gather", [inputs[-1], "green"], ["brightness"], axis=3),
        helper.make_node("Cast", ["brightness"], ["index"], to=TensorProto.INT32),
        helper.make_node("Gather", ["labels", "index"], ["label_map"], axis=0),
        helper.make_node("Gather", ["table", "index"], ["probabilities"], axis=0),
    ]
    constants = {
        "green": np.array(1, np.int64),
        "labels": label_table(classes, shift),
        "table": probability_table(classes, shift),
    }
    uint8 = TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "trivial",
        [helper.make_tensor_value_info(role, uint8, ["batch", tile, tile, 3]) for role in inputs],
        [
            helper.make_tensor_value_info("label_map", uint8, ["batch", tile, tile]),
            helper.make_tensor_value_info("probabilities", uint8, ["batch", tile, tile, classes]),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
