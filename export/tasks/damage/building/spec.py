"""The models that grade one building on a crop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.task import ExportTask, ModelSpec, Tensors, Trained, as_named_in
from export.tasks.damage.spec import GRADES, LIMITATIONS, PAIR_USE, XBD_LICENCE
from gateway.repository.card import Card, CropSpec, TensorSpec


@dataclass(frozen=True, kw_only=True)
class BuildingSpec(ModelSpec):
    """A model that takes crops of the image after a disaster; `grow` is that of the card's `CropSpec`.

    0.8 is xView2's baseline's.
    """

    grow: float = 0.8

    @property
    def task(self) -> str:
        """The card's task."""
        return "damage-crop"

    @property
    def crop(self) -> CropSpec:
        """How crops are cut."""
        return CropSpec(grow=self.grow)

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return how crops are cut."""
        return {"crop": self.crop}

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: a uint8 RGB crop."""
        return (TensorSpec(name="crop", dtype="uint8", shape=(size, size, 3)),)

    def output_specs(self) -> Tensors:
        """Return the graph's output: a score per class."""
        return (TensorSpec(name="scores", dtype="float32", shape=(len(self.classes),)),)

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of crops adds."""
        return {
            "inputs": self.input_specs(card.tile),
            "outputs": as_named_in(card.format, self.output_specs()),
            "crop": self.crop,
        }


BUILDING = (
    BuildingSpec(
        name="bd-cnn",
        title="Damage of one building, CNN",
        summary="Grades one building on a crop of the satellite image after a disaster; finds none by itself.",
        architecture="cnn",
        classes=GRADES,
        licence=XBD_LICENCE,
        intended_use=PAIR_USE,
        limitations=LIMITATIONS
        + " Sees the building after the disaster alone, and only as well as its box was found. Neighbouring damage "
        "grades are often confused.",
        max_batch_size=64,
    ),
)

TASK = ExportTask(
    name="building",
    package="export.tasks.damage.building",
    subject="crops",
    models=BUILDING,
    size=224,
    starts=False,
    draws=True,
)
