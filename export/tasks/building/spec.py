"""Entries of models that grade one building on a crop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from export.tasks.base import CatalogEntry, Tensors, as_named_in
from gateway.repository.card import Card, CropSpec, Task, TensorSpec


@dataclass(frozen=True, kw_only=True)
class CropEntry(CatalogEntry):
    """A model that takes crops of the image after a disaster; `grow` is that of the card's `CropSpec`.

    0.8 is xView2's baseline's.
    """

    not_done: ClassVar[str] = "grades no crops"

    grow: float = 0.8

    @property
    def task(self) -> Task:
        """The card's task."""
        return "damage-crop"

    @property
    def crop(self) -> CropSpec:
        """How crops are cut."""
        return CropSpec(grow=self.grow)

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
            "overlap": 0,
            "clicks": None,
            "window": None,
            "crop": self.crop,
        }
