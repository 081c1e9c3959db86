"""A model that takes off clouds and costs next to nothing: what is bright is cloud."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway.repository.card import Card, Network, TensorSpec
from gateway.repository.store import file_digest
from tests.support.trivial import made_by_hand, write_folder

HAZE, CLOUD = 150, 200
"""Levels, a mean over the channels, above which a pixel is hazy, and hidden by cloud."""

THIN = 64
"""How much of a hazy pixel is invented; of a hidden one 255 is."""

DIMMED, GROUND = 40, 60
"""By how much haze brightens the ground, and the level of what replaces that under clouds."""


def write_trivial_restore(root: Path, name: str = "restore-gan", *, tile: int = 64, overlap: int = 16) -> Path:
    """Write a complete model that takes off clouds, of one version, under `root` and return its folder."""
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(_graph(tile), model_file)
    card = Card(
        name=name,
        title="Trivial",
        task="restore",
        summary="Bright is cloud.",
        inputs=(TensorSpec(name="image", dtype="uint8", shape=(tile, tile, 3)),),
        outputs=(
            TensorSpec(name="restored", dtype="uint8", shape=(tile, tile, 3)),
            TensorSpec(name="invented", dtype="uint8", shape=(tile, tile)),
        ),
        max_batch_size=8,
        overlap=overlap,
        classes=(),
        network=Network(architecture="table", width=1, parameters=5),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory


def _graph(tile: int) -> onnx.ModelProto:
    constants = {
        "haze": np.float32(HAZE),
        "cloud": np.float32(CLOUD),
        "dimmed": np.float32(DIMMED),
        "ground": np.float32(GROUND),
        "none": np.float32(0),
        "thin": np.float32(THIN),
        "whole": np.float32(255),
        "channels": np.array([3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "channels"], ["level"], keepdims=1),
        helper.make_node("Greater", ["level", "haze"], ["hazy"]),
        helper.make_node("Greater", ["level", "cloud"], ["hidden"]),
        helper.make_node("Sub", ["pixels", "dimmed"], ["darker"]),
        helper.make_node("Where", ["hazy", "darker", "pixels"], ["cleared"]),
        helper.make_node("Where", ["hidden", "ground", "cleared"], ["drawn"]),
        helper.make_node("Cast", ["drawn"], ["restored"], to=TensorProto.UINT8),
        helper.make_node("Where", ["hazy", "thin", "none"], ["veil"]),
        helper.make_node("Where", ["hidden", "whole", "veil"], ["cover"]),
        helper.make_node("Squeeze", ["cover", "channels"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["invented"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "bright-is-cloud",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", tile, tile, 3])],
        [
            helper.make_tensor_value_info("restored", TensorProto.UINT8, ["batch", tile, tile, 3]),
            helper.make_tensor_value_info("invented", TensorProto.UINT8, ["batch", tile, tile]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
