"""Entries of models of damage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from export.tasks.base import CatalogEntry, Tensors, as_named_in, label_specs
from gateway.repository.card import Card, Task, TensorSpec


@dataclass(frozen=True, kw_only=True)
class DamageEntry(CatalogEntry):
    """A model that takes tiles of satellite images.

    `inputs` are the roles of its images, in order. `tile` and `overlap` are pixels of the input.
    """

    not_done: ClassVar[str] = "grades no damage"

    inputs: tuple[str, ...]
    tile: int = 544
    overlap: int = 64

    @property
    def task(self) -> Task:
        """The card's task."""
        return "damage"

    def input_specs(self) -> Tensors:
        """Return the graph's inputs: uint8 RGB tiles."""
        shape = (self.tile, self.tile, 3)
        return tuple(TensorSpec(name=role, dtype="uint8", shape=shape) for role in self.inputs)

    def output_specs(self) -> Tensors:
        """Return the graph's outputs: label map, then quantised probabilities."""
        return label_specs((self.tile, self.tile), len(self.classes))

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a damage model adds."""
        return {
            "inputs": self.input_specs(),
            "outputs": as_named_in(card.format, self.output_specs()),
            "overlap": self.overlap,
            "clicks": None,
            "window": None,
        }
