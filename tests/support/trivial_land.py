"""A model of land cover that costs next to nothing: a pixel's label is the band of its green value."""

from __future__ import annotations

from pathlib import Path

import onnx

from export.tasks.land.spec import LAND_CLASSES
from gateway.repository.card import Card, Network, TensorSpec
from gateway.repository.store import file_digest
from tests.support.trivial import banded_graph, made_by_hand, write_folder

GREEN = {"open ground": 20, "building": 75, "road": 128, "tree": 180, "water": 230}
"""A green value in the middle of each class's band."""


def write_trivial_land(root: Path, name: str = "land-lite0", *, tile: int = 64, overlap: int = 16) -> Path:
    """Write a complete model of land cover of one version under `root` and return its folder."""
    directory = root / name
    model_file = directory / "1" / "model.onnx"
    model_file.parent.mkdir(parents=True)
    onnx.save(banded_graph(tile, ["image"], len(LAND_CLASSES)), model_file)
    card = Card(
        name=name,
        title="Trivial",
        task="land",
        summary="Bands of brightness.",
        inputs=(TensorSpec(name="image", dtype="uint8", shape=(tile, tile, 3)),),
        outputs=(
            TensorSpec(name="label_map", dtype="uint8", shape=(tile, tile)),
            TensorSpec(name="probabilities", dtype="uint8", shape=(tile, tile, len(LAND_CLASSES))),
        ),
        max_batch_size=8,
        overlap=overlap,
        classes=LAND_CLASSES,
        network=Network(architecture="table", width=1, parameters=256 * (1 + len(LAND_CLASSES))),
        digests={"1": file_digest(model_file)},
        **made_by_hand(),
    )
    write_folder(card, directory)
    return directory
