"""A CT model that costs next to nothing: it labels Hounsfield units by bands, at twice the size of the slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gateway.repository.card import Card, ClassSpec, Network, TensorSpec, WindowSpec
from gateway.repository.store import file_digest
from tests.support.trivial import made_by_hand, write_folder

EDGES = (-700, -300, 100)
"""Hounsfield units at which the bands of label values 1, 2 and 3 begin."""

CLASSES = (
    ClassSpec(value=0, name="background", colour=(0, 0, 0)),
    ClassSpec(value=1, name="ground-glass", colour=(255, 0, 0)),
    ClassSpec(value=2, name="consolidation", colour=(0, 255, 0)),
    ClassSpec(value=3, name="pleural effusion", colour=(0, 0, 255)),
)
_CERTAIN, _OTHER = 240, 5


def labels_of(units: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the label map (…, 2 S, 2 S) that the model gives for slices (…, S, S) in Hounsfield units."""
    bands = np.digitize(units, EDGES).astype(np.uint8)
    return bands.repeat(2, axis=-1).repeat(2, axis=-2)


def probabilities_of(units: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the quantised probabilities (…, 2 S, 2 S, 4): 240 for the label, 5 for each other value."""
    chosen = labels_of(units)[..., None] == np.arange(len(CLASSES))
    return np.where(chosen, _CERTAIN, _OTHER).astype(np.uint8)


def write_trivial_ct(
    root: Path, name: str = "cogseg", *, size: int = 32, max_batch_size: int = 8, low: float = -1250, high: float = 250
) -> Path:
    """Write a complete CT model of one version under `root` and return its folder."""
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(_graph(size), model_file)
    finer = (2 * size, 2 * size)
    card = Card(
        name=name,
        title="Trivial",
        task="ct",
        summary="Bands of Hounsfield units.",
        inputs=(TensorSpec(name="image", dtype="int16", shape=(size, size)),),
        outputs=(
            TensorSpec(name="label_map", dtype="uint8", shape=finer),
            TensorSpec(name="probabilities", dtype="uint8", shape=(*finer, len(CLASSES))),
        ),
        max_batch_size=max_batch_size,
        classes=CLASSES,
        window=WindowSpec(low=low, high=high),
        network=Network(architecture="bands", width=1, parameters=len(EDGES)),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory


def _graph(size: int) -> onnx.ModelProto:
    """Count the edges that a value reaches, and look its probabilities up."""
    nodes = [
        helper.make_node("Cast", ["image"], ["units"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["units", "first"], ["planes"]),
        helper.make_node(
            "Resize",
            ["planes", "", "scales"],
            ["finer"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("GreaterOrEqual", ["finer", "edges"], ["reached"]),
        helper.make_node("Cast", ["reached"], ["counted"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["counted", "first"], ["bands"], keepdims=0),
        helper.make_node("Cast", ["bands"], ["label_map"], to=TensorProto.UINT8),
        helper.make_node("Cast", ["bands"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["probabilities"], axis=0),
    ]
    table = np.full((len(CLASSES), len(CLASSES)), _OTHER, np.uint8)
    np.fill_diagonal(table, _CERTAIN)
    constants: dict[str, NDArray[Any]] = {
        "first": np.array([1], np.int64),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "edges": np.array(EDGES, np.float32).reshape(1, -1, 1, 1),
        "table": table,
    }
    finer: list[str | int | None] = ["batch", 2 * size, 2 * size]
    graph = helper.make_graph(
        nodes,
        "trivial",
        [helper.make_tensor_value_info("image", TensorProto.INT16, ["batch", size, size])],
        [
            helper.make_tensor_value_info("label_map", TensorProto.UINT8, finer),
            helper.make_tensor_value_info("probabilities", TensorProto.UINT8, [*finer, len(CLASSES)]),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
