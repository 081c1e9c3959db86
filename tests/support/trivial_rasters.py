"""A model of damage that labels by what is known of the ground, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway.repository.card import Card, ClassSpec, Network, RasterSpec, TensorSpec
from gateway.repository.store import file_digest
from tests.support.trivial import PALETTE, made_by_hand, probability_table, write_folder

RASTERS = (
    RasterSpec(input="elevation", title="Metres above sea level", low=-500, high=9000),
    RasterSpec(input="surface", title="Metres above ground", low=-50, high=1000),
    RasterSpec(input="landcover", title="Cover", classes=("open ground", "building", "road")),
)


def write_trivial_rasters(root: Path, name: str, shown: str, *, taken: tuple[str, ...] = (), tile: int = 64) -> Path:
    """Write a model that takes rasters, all unless `taken` says which, under `root`, and return its folder.

    The label of a pixel is 0 where `shown` is missing, else heights in whole metres, or the class and one more, from 1
    to 4.
    """
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    rasters = tuple(raster for raster in RASTERS if not taken or raster.input in taken)
    inputs = (
        *(TensorSpec(name=role, dtype="uint8", shape=(tile, tile, 3)) for role in ("pre", "post")),
        *(TensorSpec(name=raster.input, dtype=raster.dtype, shape=(tile, tile)) for raster in rasters),
    )
    outputs = (
        TensorSpec(name="label_map", dtype="uint8", shape=(tile, tile)),
        TensorSpec(name="probabilities", dtype="uint8", shape=(tile, tile, 5)),
    )
    onnx.save(_graph(inputs, outputs, shown), model_file)
    card = Card(
        name=name,
        title="Ground",
        task="damage",
        summary=f"What {shown} says.",
        inputs=inputs,
        outputs=outputs,
        max_batch_size=8,
        overlap=16,
        classes=tuple(ClassSpec(value=value, name=f"level-{value}", colour=PALETTE[value]) for value in range(5)),
        rasters=rasters,
        network=Network(architecture="table", width=1, parameters=1),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory


def _graph(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], shown: str) -> onnx.ModelProto:
    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
    first = 1.0 if shown == "landcover" else 0.0
    nodes = [
        helper.make_node("Cast", [shown], ["value"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["value", "first"], ["counted"]),
        helper.make_node("Clip", ["counted", "one", "four"], ["clipped"]),
        # No number is below nothing, and 255 and one more is no class.
        helper.make_node("Less", ["counted", "most"], ["known"]),
        helper.make_node("Where", ["known", "clipped", "nothing"], ["level"]),
        helper.make_node("Cast", ["level"], ["index"], to=TensorProto.INT32),
        helper.make_node("Gather", ["levels", "index"], ["label_map"], axis=0),
        helper.make_node("Gather", ["table", "index"], ["probabilities"], axis=0),
    ]
    floats = {"first": first, "one": 1.0, "four": 4.0, "nothing": 0.0, "most": 250.0}
    # The table has a row per brightness; those of the five labels' own bands say their labels.
    table = probability_table(5)[[10, 60, 110, 160, 210]]
    constants = {name: np.array(value, np.float32) for name, value in floats.items()}
    constants |= {"levels": np.arange(5, dtype=np.uint8), "table": table}
    graph = helper.make_graph(
        nodes,
        "ground",
        [helper.make_tensor_value_info(spec.name, kinds[spec.dtype], ["batch", *spec.shape]) for spec in inputs],
        [helper.make_tensor_value_info(spec.name, TensorProto.UINT8, ["batch", *spec.shape]) for spec in outputs],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
