"""A model of waste that costs next to nothing: a pixel's label is the band of its green value."""

from __future__ import annotations

from pathlib import Path

import onnx

from gateway.repository.card import Card, ClassSpec, Network, ResizeSpec, TensorSpec
from gateway.repository.store import file_digest
from tests.support.trivial import banded_graph, made_by_hand, write_folder

CLASSES = (
    ClassSpec(value=0, name="background", colour=(0, 0, 0)),
    ClassSpec(value=1, name="rigid_plastic", colour=(230, 5, 5)),
    ClassSpec(value=2, name="cardboard", colour=(4, 200, 3)),
)


def write_trivial_waste(
    root: Path,
    name: str = "waste-lite0",
    *,
    tile: int = 64,
    overlap: int = 16,
    short: int = 64,
    long: int = 256,
    max_batch_size: int = 8,
) -> Path:
    """Write a complete model of waste of one version under `root` and return its folder.

    The label of a pixel, at the model's scale, is the band of its green value (`label_table` of three).
    """
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(banded_graph(tile, ["image"], len(CLASSES)), model_file)
    card = Card(
        name=name,
        title="Trivial",
        task="waste",
        summary="Bands of brightness.",
        inputs=(TensorSpec(name="image", dtype="uint8", shape=(tile, tile, 3)),),
        outputs=(
            TensorSpec(name="label_map", dtype="uint8", shape=(tile, tile)),
            TensorSpec(name="probabilities", dtype="uint8", shape=(tile, tile, len(CLASSES))),
        ),
        max_batch_size=max_batch_size,
        overlap=overlap,
        classes=CLASSES,
        resize=ResizeSpec(short=short, long=long, multiple=32),
        network=Network(architecture="table", width=1, parameters=256 * (1 + len(CLASSES))),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory
