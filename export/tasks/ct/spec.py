"""Entries of models of CT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from export.tasks.base import CatalogEntry, Tensors, as_named_in, label_specs
from gateway.repository.card import Card, Task, TensorSpec


@dataclass(frozen=True, kw_only=True)
class SliceEntry(CatalogEntry):
    """A model that takes CT slices, and labels them or sharpens them."""

    not_done: ClassVar[str] = "labels no slices"

    sharpens: bool = False

    @property
    def task(self) -> Task:
        """The card's task."""
        return "ct-super-resolution" if self.sharpens else "ct"

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: a slice in Hounsfield units."""
        return (TensorSpec(name="image", dtype="int16", shape=(size, size)),)

    def output_specs(self, size: int) -> Tensors:
        """Return the graph's outputs, at twice the size of the input."""
        finer = (2 * size, 2 * size)
        if self.sharpens:
            return (TensorSpec(name="sharpened", dtype="int16", shape=finer),)
        return label_specs(finer, len(self.classes))

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of CT adds."""
        size = card.inputs[0].shape[0]
        return {
            "inputs": self.input_specs(size),
            "outputs": as_named_in(card.format, self.output_specs(size)),
            "overlap": 0,
            "clicks": None,
        }
