"""The interactive models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from export.task import BACKGROUND, ExportTask, ModelSpec, Tensors, Trained, View, as_named_in
from gateway.repository.card import Card, ClassSpec, ClickSpec, TensorSpec

FEATURES = ("features_1", "features_2", "features_3", "features_4")
"""What an encoder hands to its head, in order."""

FEATURE_STRIDES = (4, 8, 16, 16)
"""Crop pixels per position of each feature map of IOG's."""

PAPERS_SIZE = 512
"""Side of the crop, in pixels, that the papers' lengths are stated for."""

Part = Literal["whole", "encoder", "head"]


@dataclass(frozen=True, kw_only=True)
class InteractiveSpec(ModelSpec):
    """A model that takes a crop and clicks, or one of the two halves of such a model.

    `margin` is in image pixels, `share` comes to it as one of the box's longer side; `threshold` is that of weights
    whose checkpoint states none. `pushes` says whether the network learnt from tight boxes whose corners were moved
    outwards, `strides` how many crop pixels a position of each feature map has. A head names its `encoder`.
    """

    prompt: Literal["iog", "dextr"]
    margin: int
    threshold: float
    part: Part = "whole"
    encoder: str | None = None
    share: float = 0.0
    pushes: bool = True
    strides: tuple[int, ...] = FEATURE_STRIDES

    @property
    def task(self) -> str:
        """The card's task."""
        return "interactive-encoder" if self.part == "encoder" else "interactive"

    def clicks(self, size: int) -> ClickSpec:
        """Return how the model takes clicks in crops of `size`: the paper's lengths, in proportion."""
        length = 10 * size / PAPERS_SIZE
        return ClickSpec(
            prompt=self.prompt,
            size=size,
            margin=self.margin,
            share=self.share,
            sigma=length,
            push=length if self.prompt == "iog" and self.pushes else 0.0,
            encoder=self.encoder,
        )

    def input_specs(self, size: int, channels: Sequence[int]) -> Tensors:
        """Return the graph's inputs, for crops of `size` and features of so many `channels`."""
        crop = TensorSpec(name="crop", dtype="uint8", shape=(size, size, 3))
        maps = TensorSpec(name="clicks", dtype="uint8", shape=(size, size, 2 if self.prompt == "iog" else 1))
        return (*self._features(size, channels), maps) if self.part == "head" else (crop, maps)

    def output_specs(self, size: int, channels: Sequence[int]) -> Tensors:
        """Return the graph's outputs; arguments as of `input_specs`."""
        if self.part == "encoder":
            return self._features(size, channels)
        return (TensorSpec(name="probability", dtype="uint8", shape=(size, size)),)

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return how clicks are taken in crops of the checkpoint's size."""
        return {"clicks": self.clicks(checkpoint.size)}

    def threshold_of(self, stated: float | None) -> float | None:
        """Return the checkpoint's threshold, or the spec's where it states none."""
        return self.threshold if stated is None else stated

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what an interactive model adds."""
        size = card.clicks.size if card.clicks else PAPERS_SIZE
        channels = [spec.shape[0] for spec in card.tensors() if spec.name.startswith("features_")]
        return {
            "inputs": self.input_specs(size, channels),
            "outputs": as_named_in(card.format, self.output_specs(size, channels)),
            "clicks": self.clicks(size),
        }

    def _features(self, size: int, channels: Sequence[int]) -> Tensors:
        return tuple(
            TensorSpec(name=name, dtype="float16", shape=(depth, size // stride, size // stride))
            for name, stride, depth in zip(FEATURES, self.strides, channels, strict=False)
        )


OBJECT_CLASSES = (BACKGROUND, ClassSpec(value=1, name="object", colour=(255, 0, 0)))

_CLICKED_LIMITATIONS = (
    "Finds one object at a time, and knows it by the clicks alone: a click beside the object, or a box that cuts it, "
    "gives another mask. Expect it to fail on thin, see-through or scattered objects, and on pictures unlike the "
    "photographs that it was learnt from, such as radiographs or satellite images."
)
_CLICKED_USE = "Research demonstration of cutting out objects of photographs by clicks, for people who check each mask."
_CLICKED_LICENCE = (
    "non-commercial research only (learnt from BSDS500's photographs and masks, and from COCO's, whose photographs are "
    "under Flickr's terms)"
)
_LITE0_LICENCE = _CLICKED_LICENCE + "; the encoder began with public ImageNet weights under Apache-2.0"

CLICKED = (
    InteractiveSpec(
        name="iog",
        title="Object from two corners and a click inside, IOG",
        summary="Finds the object in a box around a click.",
        architecture="iog",
        classes=OBJECT_CLASSES,
        licence=_CLICKED_LICENCE,
        intended_use=_CLICKED_USE,
        limitations=_CLICKED_LIMITATIONS + " Takes no further clicks; iog_refine does.",
        prompt="iog",
        margin=30,
        threshold=0.5,
    ),
    InteractiveSpec(
        name="iog_refine_encoder",
        title="Features for further clicks, encoder of IOG with refinement",
        summary="Turns a crop and its first clicks into the features that iog_refine takes; answers nobody by itself.",
        architecture="iog_refine",
        classes=OBJECT_CLASSES,
        licence=_CLICKED_LICENCE,
        intended_use=_CLICKED_USE,
        limitations=_CLICKED_LIMITATIONS + " Of use with the iog_refine of the same version alone.",
        prompt="iog",
        margin=30,
        threshold=0.5,
        part="encoder",
    ),
    InteractiveSpec(
        name="iog_refine",
        title="Object from two corners and clicks inside and outside, IOG with refinement",
        summary="Finds the object in a box around a click, and mends its mask by further clicks.",
        architecture="iog_refine",
        classes=OBJECT_CLASSES,
        licence=_CLICKED_LICENCE,
        intended_use=_CLICKED_USE,
        limitations=_CLICKED_LIMITATIONS,
        prompt="iog",
        margin=30,
        threshold=0.5,
        part="head",
        encoder="iog_refine_encoder",
    ),
    InteractiveSpec(
        name="click-lite0-encoder",
        title="Features for further clicks, EfficientNet-Lite0",
        summary="Turns a crop and its first clicks into the features that click-lite0 takes; answers nobody by itself.",
        architecture="click_unet",
        classes=OBJECT_CLASSES,
        licence=_LITE0_LICENCE,
        intended_use=_CLICKED_USE,
        limitations=_CLICKED_LIMITATIONS + " Of use with the click-lite0 of the same version alone.",
        prompt="iog",
        margin=0,
        threshold=0.5,
        part="encoder",
        share=0.25,
        pushes=False,
        strides=(2, 4, 8, 16),
    ),
    InteractiveSpec(
        name="click-lite0",
        title="Object from a box and clicks inside and outside, U-Net on EfficientNet-Lite0",
        summary="Finds the object in a box, tight or loose, around a click, and mends its mask by further clicks.",
        architecture="click_unet",
        classes=OBJECT_CLASSES,
        licence=_LITE0_LICENCE,
        intended_use=_CLICKED_USE,
        limitations=_CLICKED_LIMITATIONS,
        prompt="iog",
        margin=0,
        threshold=0.5,
        part="head",
        encoder="click-lite0-encoder",
        share=0.25,
        pushes=False,
        strides=(2, 4, 8, 16),
    ),
    InteractiveSpec(
        name="dextr",
        title="Object from four extreme points, DEXTR",
        summary="Finds the object whose topmost, leftmost, bottommost and rightmost points are given.",
        architecture="dextr",
        classes=OBJECT_CLASSES,
        licence=_CLICKED_LICENCE,
        intended_use=_CLICKED_USE,
        limitations=_CLICKED_LIMITATIONS + " Takes no further clicks.",
        prompt="dextr",
        margin=50,
        threshold=0.8,
    ),
)

TASK = ExportTask(
    name="interactive",
    package="export.tasks.interactive",
    subject="clicks",
    models=CLICKED,
    pooled="interactive",
    command="robustness",
    view=View(
        example="object",
        columns={
            **{f"mean IoU after {clicks} clicks": f"IoU, {clicks} clicks" for clicks in (2, 3, 4, 5, 8)},
            "clicks to IoU 0.85": "NoC@0.85",
            "clicks to IoU 0.90": "NoC@0.90",
            "share of objects at IoU 0.85 within 5 clicks": "at 0.85 within 5",
        },
        shown=("mean IoU after 3 clicks", "mean IoU after 5 clicks", "share of objects at IoU 0.85 within 5 clicks"),
        score="mean IoU after 3 clicks",
        note="Clicks are simulated; an object that never gets there counts 20.",
        unit="one answer to clicks",
    ),
)
