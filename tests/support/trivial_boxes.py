"""A model of boxes that costs next to nothing: in each quarter of a tile it finds one where the pre image is bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gateway.repository.card import Card, ClassSpec, Network, TensorSpec
from gateway.repository.store import file_digest
from tests.support.trivial import PALETTE, made_by_hand, write_folder

SIDE, THRESHOLD = 64, 0.5
BOXES = np.array([[x + 6, y + 8, x + 26, y + 24] for y in (0, 32) for x in (0, 32)], np.float32)
"""x0, y0, x1, y1 of the four quarters' boxes; each is as sure as the pixel in the middle of its quarter is bright."""


def write_trivial_boxes(root: Path, name: str = "bd-yolo") -> Path:
    """Write a complete model of boxes under `root` and return its folder.

    Of a bright post image buildings stand (class 1), of a dark one they are destroyed (class 4).
    """
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(_graph(), model_file)
    card = Card(
        name=name,
        title="Trivial boxes",
        task="damage-boxes",
        summary="Bright quarters.",
        inputs=tuple(TensorSpec(name=role, dtype="uint8", shape=(SIDE, SIDE, 3)) for role in ("pre", "post")),
        outputs=(
            TensorSpec(name="boxes", dtype="float32", shape=(4, 4)),
            TensorSpec(name="scores", dtype="float32", shape=(4, 4)),
        ),
        max_batch_size=4,
        overlap=0,
        classes=tuple(ClassSpec(value=v, name=f"band-{v}", colour=PALETTE[v]) for v in range(5)),
        threshold=THRESHOLD,
        network=Network(architecture="table", width=1, parameters=1),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory


def _graph() -> onnx.ModelProto:
    """Score a box by the green of both images in the middle of its quarter."""
    constants: dict[str, NDArray[Any]] = {
        "starts": np.array([16, 16, 1]),
        "ends": np.array([SIDE, SIDE, 2]),
        "axes": np.array([1, 2, 3]),
        "steps": np.array([32, 32, 1]),
        "shape": np.array([-1, 4, 1]),
        "most": np.array(255, np.float32),
        "one": np.array(1, np.float32),
        "none": np.array(0, np.float32),
        "places": BOXES[None],
    }
    nodes = []
    for role in ("pre", "post"):
        nodes += [
            helper.make_node("Slice", [role, "starts", "ends", "axes", "steps"], [f"{role}_middles"]),
            helper.make_node("Reshape", [f"{role}_middles", "shape"], [f"{role}_levels"]),
            helper.make_node("Cast", [f"{role}_levels"], [f"{role}_floats"], to=TensorProto.FLOAT),
            helper.make_node("Div", [f"{role}_floats", "most"], [f"{role}_bright"]),
        ]
    nodes += [
        helper.make_node("Mul", ["pre_bright", "post_bright"], ["standing"]),
        helper.make_node("Sub", ["one", "post_bright"], ["post_dark"]),
        helper.make_node("Mul", ["pre_bright", "post_dark"], ["destroyed"]),
        helper.make_node("Mul", ["standing", "none"], ["nothing"]),
        helper.make_node("Concat", ["standing", "nothing", "nothing", "destroyed"], ["scores"], axis=2),
        helper.make_node("Add", ["nothing", "places"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "trivial",
        [helper.make_tensor_value_info(role, TensorProto.UINT8, ["batch", SIDE, SIDE, 3]) for role in ("pre", "post")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4, 4]) for name in ("boxes", "scores")],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
