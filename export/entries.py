"""What is fixed about a model before it is trained, per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.repository.card import Card, ClassSpec, ClickSpec, Task, TensorSpec

OUTPUTS = ("label_map", "probabilities")
"""The outputs of every graph of damage or CT, in order."""

FEATURES = ("features_1", "features_2", "features_3", "features_4")
"""What an encoder hands to its head, in order."""

FEATURE_STRIDES = (4, 8, 16, 16)
"""Crop pixels per position of each feature map."""

PAPERS_SIZE = 512
"""Side of the crop, in pixels, that the papers' lengths are stated for."""

Tensors = tuple[TensorSpec, ...]
Part = Literal["whole", "encoder", "head"]


@dataclass(frozen=True)
class _Entry(ABC):
    """What the models of all tasks state; the texts go into the card as they stand.

    `licence` is that of weights whose checkpoint states none. An entry `on_request` is built only where it is named.
    """

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


@dataclass(frozen=True, kw_only=True)
class DamageEntry(_Entry):
    """A model that takes tiles of satellite images.

    `inputs` are the roles of its images, in order. `tile` and `overlap` are pixels of the input.
    """

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
        return _labels((self.tile, self.tile), len(self.classes))

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a damage model adds."""
        return {
            "inputs": self.input_specs(),
            "outputs": as_named_in(card.format, self.output_specs()),
            "overlap": self.overlap,
            "clicks": None,
            "window": None,
        }


@dataclass(frozen=True, kw_only=True)
class ClickEntry(_Entry):
    """A model that takes a crop and clicks, or one of the two halves of such a model.

    `margin` is in image pixels, `threshold` that of weights whose checkpoint states none. A head names its `encoder`.
    """

    prompt: Literal["iog", "dextr"]
    margin: int
    threshold: float
    part: Part = "whole"
    encoder: str | None = None

    @property
    def task(self) -> Task:
        """The card's task."""
        return "interactive-encoder" if self.part == "encoder" else "interactive"

    def clicks(self, size: int) -> ClickSpec:
        """Return how the model takes clicks in crops of `size`: the paper's lengths, in proportion."""
        length = 10 * size / PAPERS_SIZE
        return ClickSpec(
            prompt=self.prompt,
            size=size,
            margin=self.margin,
            sigma=length,
            push=length if self.prompt == "iog" else 0.0,
            encoder=self.encoder,
        )

    def input_specs(self, size: int, channels: Sequence[int]) -> Tensors:
        """Return the graph's inputs, for crops of `size` and features of so many `channels`."""
        crop = TensorSpec(name="crop", dtype="uint8", shape=(size, size, 3))
        maps = TensorSpec(name="clicks", dtype="uint8", shape=(size, size, 2 if self.prompt == "iog" else 1))
        return (*_features(size, channels), maps) if self.part == "head" else (crop, maps)

    def output_specs(self, size: int, channels: Sequence[int]) -> Tensors:
        """Return the graph's outputs; arguments as of `input_specs`."""
        if self.part == "encoder":
            return _features(size, channels)
        return (TensorSpec(name="probability", dtype="uint8", shape=(size, size)),)

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what an interactive model adds."""
        size = card.clicks.size if card.clicks else PAPERS_SIZE
        channels = [spec.shape[0] for spec in card.tensors() if spec.name.startswith("features_")]
        return {
            "inputs": self.input_specs(size, channels),
            "outputs": as_named_in(card.format, self.output_specs(size, channels)),
            "overlap": 0,
            "clicks": self.clicks(size),
            "window": None,
        }


@dataclass(frozen=True, kw_only=True)
class SliceEntry(_Entry):
    """A model that takes CT slices, and labels them or sharpens them."""

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
        return _labels(finer, len(self.classes))

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of CT adds."""
        size = card.inputs[0].shape[0]
        return {
            "inputs": self.input_specs(size),
            "outputs": as_named_in(card.format, self.output_specs(size)),
            "overlap": 0,
            "clicks": None,
        }


Entry = DamageEntry | ClickEntry | SliceEntry


def as_named_in(file_format: str, outputs: Tensors) -> Tensors:
    """Return outputs as a file format names them.

    TorchScript outputs have no names: Triton's PyTorch backend finds the index at the end of `<name>__<index>`.
    """
    if file_format == "onnx":
        return outputs
    return tuple(spec.model_copy(update={"name": f"{spec.name}__{index}"}) for index, spec in enumerate(outputs))


def _labels(side: tuple[int, int], classes: int) -> Tensors:
    shapes = (side, (*side, classes))
    return tuple(TensorSpec(name=n, dtype="uint8", shape=shape) for n, shape in zip(OUTPUTS, shapes, strict=True))


def _features(size: int, channels: Sequence[int]) -> Tensors:
    return tuple(
        TensorSpec(name=name, dtype="float16", shape=(depth, size // stride, size // stride))
        for name, stride, depth in zip(FEATURES, FEATURE_STRIDES, channels, strict=False)
    )
