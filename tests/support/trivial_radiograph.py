"""A radiograph model that costs next to nothing: dark films are COVID-19, and it says where they are dark or bright.

Made so, it also says how far a film is from those that it knows: as far as it is bright; the middle of the range is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gateway.repository.card import Card, ClassSpec, FamiliarSpec, Network, TensorSpec
from gateway.repository.store import file_digest
from tests.support.trivial import made_by_hand, write_folder

CLASSES = (
    ClassSpec(value=0, name="COVID-19", colour=(255, 0, 0)),
    ClassSpec(value=1, name="NORMAL", colour=(0, 128, 0)),
)
_CELLS_ACROSS = 4


def scores_of(tiles: NDArray[np.uint8], shift: float = 0.0) -> NDArray[np.float32]:
    """Return the scores (n, 2) of tiles (n, S, S, 3): NORMAL is as likely as the tile is bright, and `shift` more."""
    bright = np.clip(tiles.mean(axis=(1, 2, 3)) / 255 + shift, 0, 1)
    return np.stack([1 - bright, bright], axis=1).astype(np.float32)


def evidence_of(tiles: NDArray[np.uint8], cells: int = _CELLS_ACROSS) -> NDArray[np.uint8]:
    """Return the evidence (n, cells, cells, 2): where tiles are dark and where bright, each scaled to its maximum."""
    n, size, _, channels = tiles.shape
    patches = tiles.reshape(n, cells, size // cells, cells, size // cells, channels)
    bright = patches.mean(axis=(2, 4, 5))
    maps = np.stack([255 - bright, bright], axis=-1)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(255 * maps / np.maximum(highest, 1e-6), np.uint8)


def write_trivial_radiograph(
    root: Path,
    name: str = "cxr-trivial",
    *,
    size: int = 32,
    cells: int = _CELLS_ACROSS,
    shift: float = 0.0,
    threshold: float | None = None,
    classes: Sequence[ClassSpec] = CLASSES,
    max_batch_size: int = 8,
    familiar: bool = False,
    members: int = 1,
) -> Path:
    """Write a complete radiograph model of one version under `root` and return its folder."""
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(_graph(size, cells, shift, familiar), model_file)
    card = Card(
        name=name,
        title="Trivial",
        task="radiograph",
        summary="Mean brightness.",
        inputs=(TensorSpec(name="image", dtype="uint8", shape=(size, size, 3)),),
        outputs=(
            TensorSpec(name="scores", dtype="float32", shape=(2,)),
            TensorSpec(name="saliency", dtype="uint8", shape=(cells, cells, 2)),
            *([TensorSpec(name="distance", dtype="float32", shape=(1,))] if familiar else []),
        ),
        familiar=FamiliarSpec(films=9, axes=1, split="val", images=9, within=0.95) if familiar else None,
        max_batch_size=max_batch_size,
        classes=tuple(classes),
        threshold=threshold,
        network=Network(architecture="mean", width=1, members=members, parameters=1),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory


def _graph(size: int, cells: int, shift: float, familiar: bool) -> onnx.ModelProto:
    """Average the tile, and its cells."""
    node, side = helper.make_node, size // cells
    nodes = [
        node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        node("ReduceMean", ["values", "all"], ["mean"], keepdims=0),
        node("Div", ["mean", "white"], ["share"]),
        node("Add", ["share", "shift"], ["shifted"]),
        node("Clip", ["shifted", "zero", "one"], ["bright"]),
        node("Sub", ["one", "bright"], ["dark"]),
        node("Unsqueeze", ["bright", "last"], ["bright_column"]),
        node("Unsqueeze", ["dark", "last"], ["dark_column"]),
        node("Concat", ["dark_column", "bright_column"], ["scores"], axis=1),
        node("Reshape", ["values", "patched"], ["patches"]),
        node("ReduceMean", ["patches", "inside"], ["bright_cells"], keepdims=0),
        node("Sub", ["white", "bright_cells"], ["dark_cells"]),
        node("Unsqueeze", ["dark_cells", "behind"], ["dark_map"]),
        node("Unsqueeze", ["bright_cells", "behind"], ["bright_map"]),
        node("Concat", ["dark_map", "bright_map"], ["maps"], axis=3),
        node("ReduceMax", ["maps", "across"], ["highest"], keepdims=1),
        node("Max", ["highest", "least"], ["safe"]),
        node("Mul", ["maps", "white"], ["stretched"]),
        node("Div", ["stretched", "safe"], ["scaled"]),
        node("Cast", ["scaled"], ["saliency"], to=TensorProto.UINT8),
        *([node("Add", ["bright_column", "bright_column"], ["distance"])] if familiar else []),
    ]
    constants: dict[str, NDArray[Any]] = {
        "all": np.array([1, 2, 3], np.int64),
        "white": np.array(255, np.float32),
        "shift": np.array(shift, np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "last": np.array([1], np.int64),
        "patched": np.array([-1, cells, side, cells, side, 3], np.int64),
        "inside": np.array([2, 4, 5], np.int64),
        "behind": np.array([3], np.int64),
        "across": np.array([1, 2], np.int64),
        "least": np.array(1e-6, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "trivial",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("saliency", TensorProto.UINT8, ["batch", cells, cells, 2]),
            *([helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["batch", 1])] if familiar else []),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
