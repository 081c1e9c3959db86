"""Entries of interactive models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from export.tasks.base import CatalogEntry, Tensors, as_named_in
from gateway.repository.card import Card, ClickSpec, Task, TensorSpec

FEATURES = ("features_1", "features_2", "features_3", "features_4")
"""What an encoder hands to its head, in order."""

FEATURE_STRIDES = (4, 8, 16, 16)
"""Crop pixels per position of each feature map."""

PAPERS_SIZE = 512
"""Side of the crop, in pixels, that the papers' lengths are stated for."""

Part = Literal["whole", "encoder", "head"]


@dataclass(frozen=True, kw_only=True)
class ClickEntry(CatalogEntry):
    """A model that takes a crop and clicks, or one of the two halves of such a model.

    `margin` is in image pixels, `threshold` that of weights whose checkpoint states none. A head names its `encoder`.
    """

    not_done: ClassVar[str] = "takes no clicks"

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


def _features(size: int, channels: Sequence[int]) -> Tensors:
    return tuple(
        TensorSpec(name=name, dtype="float16", shape=(depth, size // stride, size // stride))
        for name, stride, depth in zip(FEATURES, FEATURE_STRIDES, channels, strict=False)
    )
