"""A model of pebbles that costs next to nothing: a pixel's label is the band of its green value."""

from __future__ import annotations

from pathlib import Path

import onnx

from gateway.repository.card import Card, ClassSpec, Network, TensorSpec
from gateway.repository.store import file_digest
from tests.support.toy_task.spec import TASK
from tests.support.trivial import banded_graph, made_by_hand, write_folder

CLASSES = (
    ClassSpec(value=0, name="sand", colour=(0, 0, 0)),
    ClassSpec(value=1, name="gravel", colour=(230, 160, 5)),
    ClassSpec(value=2, name="cobble", colour=(4, 100, 203)),
)


def write_model(root: Path, tile: int = 64) -> Path:
    """Write the task's default model under `root` and return that."""
    directory = root / TASK.default_model
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(banded_graph(tile, ["image"], len(CLASSES)), model_file)
    card = Card(
        name=directory.name,
        title="Trivial",
        task=TASK.name,
        summary="Bands of brightness.",
        inputs=(TensorSpec(name="image", dtype="uint8", shape=(tile, tile, 3)),),
        outputs=(
            TensorSpec(name="label_map", dtype="uint8", shape=(tile, tile)),
            TensorSpec(name="probabilities", dtype="uint8", shape=(tile, tile, len(CLASSES))),
        ),
        max_batch_size=8,
        overlap=16,
        classes=CLASSES,
        network=Network(architecture="table", width=1, parameters=256 * (1 + len(CLASSES))),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return root
