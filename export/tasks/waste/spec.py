"""Entries of models of waste."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from export.tasks.base import CatalogEntry, Tensors, as_named_in, label_specs
from gateway.repository.card import Card, ClassSpec, ResizeSpec, Task, TensorSpec

MULTIPLE = 32
"""The sides of a photograph become multiples of this: the deepest features' stride."""

_LONG = 4
_OVERLAP = 4


@dataclass(frozen=True, kw_only=True)
class WasteEntry(CatalogEntry):
    """A model that takes tiles of photographs at the scale of its training.

    A checkpoint chooses the tile's side, and one of the `label_sets` in place of `classes`.
    """

    not_done: ClassVar[str] = "labels no waste"

    label_sets: tuple[tuple[ClassSpec, ...], ...]

    @property
    def task(self) -> Task:
        """The card's task."""
        return "waste"

    def resize(self, size: int) -> ResizeSpec:
        """Return the scale that belongs to tiles of `size`: the shorter side is one, the longer at most four."""
        return ResizeSpec(short=size, long=_LONG * size, multiple=MULTIPLE)

    def overlap(self, size: int) -> int:
        """Return what neighbouring tiles of `size` share at least, in pixels."""
        return size // _OVERLAP

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: uint8 RGB tiles."""
        return (TensorSpec(name="image", dtype="uint8", shape=(size, size, 3)),)

    def output_specs(self, size: int, classes: int) -> Tensors:
        """Return the graph's outputs: label map, then quantised probabilities."""
        return label_specs((size, size), classes)

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of waste adds."""
        size = card.inputs[0].shape[0]
        return {
            "classes": card.classes if card.classes in self.label_sets else self.classes,
            "inputs": self.input_specs(size),
            "outputs": as_named_in(card.format, self.output_specs(size, len(card.classes))),
            "overlap": self.overlap(size),
            "resize": self.resize(size),
            "clicks": None,
            "window": None,
        }
