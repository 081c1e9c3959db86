"""A model of crops that costs next to nothing: it grades a building by how bright its crop is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gateway.repository.card import Card, ClassSpec, CropSpec, Network, TensorSpec
from gateway.repository.store import file_digest
from tests.support.trivial import PALETTE, made_by_hand, write_folder

GRADES = ("no-damage", "minor-damage", "major-damage", "destroyed")
CERTAIN, OTHER = 0.85, 0.05


def scores_of(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the scores of crops (n, S, S, 3), (n, 4): `CERTAIN` for the quarter that their mean green is in."""
    grades = (crops[..., 1].astype(np.float32).mean(axis=(1, 2)) / 64).astype(np.int64)
    scores: NDArray[np.float32] = _table()[grades]
    return scores


def write_trivial_crops(
    root: Path, name: str = "bd-cnn", *, size: int = 16, grow: float = 0.8, max_batch_size: int = 4
) -> Path:
    """Write a complete model of crops under `root` and return its folder."""
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(_graph(size), model_file)
    card = Card(
        name=name,
        title="Trivial grades",
        task="damage-crop",
        summary="Quarters of brightness.",
        inputs=(TensorSpec(name="crop", dtype="uint8", shape=(size, size, 3)),),
        outputs=(TensorSpec(name="scores", dtype="float32", shape=(len(GRADES),)),),
        max_batch_size=max_batch_size,
        classes=tuple(ClassSpec(value=v, name=n, colour=PALETTE[v + 1]) for v, n in enumerate(GRADES)),
        crop=CropSpec(grow=grow),
        network=Network(architecture="table", width=1, parameters=len(GRADES) ** 2),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory


def _table() -> NDArray[np.float32]:
    table = np.full((len(GRADES), len(GRADES)), OTHER, np.float32)
    np.fill_diagonal(table, CERTAIN)
    return table


def _graph(size: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gather", ["crop", "green"], ["brightness"], axis=3),
        helper.make_node("Cast", ["brightness"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels", "sides"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "quarter"], ["quarters"]),
        helper.make_node("Cast", ["quarters"], ["grade"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "grade"], ["scores"], axis=0),
    ]
    constants: dict[str, NDArray[Any]] = {
        "green": np.array(1, np.int64),
        "sides": np.array([1, 2], np.int64),
        "quarter": np.array(64, np.float32),
        "table": _table(),
    }
    graph = helper.make_graph(
        nodes,
        "trivial",
        [helper.make_tensor_value_info("crop", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(GRADES)])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
