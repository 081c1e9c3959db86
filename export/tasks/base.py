"""What is fixed about a model before it is trained, per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.repository.card import Card, ClassSpec, Task, TensorSpec

OUTPUTS = ("label_map", "probabilities")
"""The outputs of every graph of damage or CT, in order."""

Tensors = tuple[TensorSpec, ...]


@dataclass(frozen=True)
class CatalogEntry(ABC):
    """What the models of all tasks state; the texts go into the card as they stand.

    `licence` is that of weights whose checkpoint states none. An entry `on_request` is built only where it is named.
    """

    not_done: ClassVar[str]
    """What architectures of other tasks do not do, as the end of "a network …"."""

    name: str
    title: str
    summary: str
    architecture: str
    classes: tuple[ClassSpec, ...]
    licence: str
    intended_use: str
    limitations: str
    max_batch_size: int = 8
    on_request: bool = False

    def differences(self, card: Card) -> list[str]:
        """Return the keys in which `card` says other than this entry: it was edited, or the catalogue has moved on."""
        said = {
            "title": self.title,
            "task": self.task,
            "summary": self.summary,
            "max_batch_size": self.max_batch_size,
            "classes": self.classes,
            "intended_use": self.intended_use,
            "limitations": self.limitations,
            **self.contract(card),
        }
        return [key for key in Card.model_fields if key in said and getattr(card, key) != said[key]]

    @property
    @abstractmethod
    def task(self) -> Task:
        """The card's task."""

    @abstractmethod
    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what the task adds, by the card's keys; sizes that a checkpoint chooses are taken from `card`."""


def as_named_in(file_format: str, outputs: Tensors) -> Tensors:
    """Return outputs as a file format names them.

    TorchScript outputs have no names: Triton's PyTorch backend finds the index at the end of `<name>__<index>`.
    """
    if file_format == "onnx":
        return outputs
    return tuple(spec.model_copy(update={"name": f"{spec.name}__{index}"}) for index, spec in enumerate(outputs))


def label_specs(side: tuple[int, int], classes: int) -> Tensors:
    """Return the outputs of a model that labels pixels: label map, then quantised probabilities."""
    shapes = (side, (*side, classes))
    return tuple(TensorSpec(name=n, dtype="uint8", shape=shape) for n, shape in zip(OUTPUTS, shapes, strict=True))
