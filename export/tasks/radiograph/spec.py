"""Entries of models of chest radiographs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from export.tasks.base import CatalogEntry, Tensors, as_named_in
from gateway.repository.card import Card, Task, TensorSpec


@dataclass(frozen=True, kw_only=True)
class FilmEntry(CatalogEntry):
    """A model that takes whole radiographs and scores them."""

    not_done: ClassVar[str] = "scores no radiographs"

    @property
    def task(self) -> Task:
        """The card's task."""
        return "radiograph"

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: a film as RGB."""
        return (TensorSpec(name="image", dtype="uint8", shape=(size, size, 3)),)

    def output_specs(self, grid: tuple[int, int]) -> Tensors:
        """Return the graph's outputs: a score and a saliency map per class, on the `grid` of the last features."""
        classes = len(self.classes)
        return (
            TensorSpec(name="scores", dtype="float32", shape=(classes,)),
            TensorSpec(name="saliency", dtype="uint8", shape=(*grid, classes)),
        )

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of radiographs adds."""
        rows, columns, _ = card.outputs[-1].shape
        return {
            "inputs": self.input_specs(card.tile),
            "outputs": as_named_in(card.format, self.output_specs((rows, columns))),
            "overlap": 0,
            "clicks": None,
            "window": None,
        }
