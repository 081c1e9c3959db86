"""The models of waste, and the label sets that their weights may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.task import BACKGROUND, Classes, ExportTask, ModelSpec, Tensors, Trained, View, as_named_in, label_specs
from gateway.repository.card import Card, ClassSpec, ResizeSpec, TensorSpec

MULTIPLE = 32
"""The sides of a photograph become multiples of this: the deepest features' stride."""

_LONG = 4
_OVERLAP = 4


def scale_of(size: int) -> ResizeSpec:
    """Return the scale that belongs to tiles of `size`: the shorter side is one, the longer at most four."""
    return ResizeSpec(short=size, long=_LONG * size, multiple=MULTIPLE)


@dataclass(frozen=True, kw_only=True)
class WasteSpec(ModelSpec):
    """A model that takes tiles of photographs at the scale of its training.

    A checkpoint chooses the tile's side, and one of the `label_sets` in place of `classes`.
    """

    label_sets: tuple[tuple[ClassSpec, ...], ...]

    @property
    def task(self) -> str:
        """The card's task."""
        return "waste"

    def overlap(self, size: int) -> int:
        """Return what neighbouring tiles of `size` share at least, in pixels."""
        return size // _OVERLAP

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: uint8 RGB tiles."""
        return (TensorSpec(name="image", dtype="uint8", shape=(size, size, 3)),)

    def output_specs(self, size: int, classes: int) -> Tensors:
        """Return the graph's outputs: label map, then quantised probabilities."""
        return label_specs((size, size), classes)

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return the checkpoint's classes, and how photographs of its size are scaled and tiled."""
        size = checkpoint.size
        return {"classes": LABEL_SETS[checkpoint.classes], "overlap": self.overlap(size), "resize": scale_of(size)}

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of waste adds."""
        size = card.inputs[0].shape[0]
        return {
            "classes": card.classes if card.classes in self.label_sets else self.classes,
            "inputs": self.input_specs(size),
            "outputs": as_named_in(card.format, self.output_specs(size, len(card.classes))),
            "overlap": self.overlap(size),
            "resize": scale_of(size),
        }


Colour = tuple[int, int, int]

BAGS: Classes = (
    BACKGROUND,
    ClassSpec(value=1, name="general_trashbag", colour=(255, 176, 0)),
    ClassSpec(value=2, name="other_trashbag", colour=(0, 114, 255)),
)
"""The labels of WoosongVision's photographs; no palette is stated. Orange and blue are told apart by everybody."""

_ZEROWASTE = ("background", "rigid_plastic", "cardboard", "metal", "soft_plastic")


def _zerowaste(*colours: Colour) -> Classes:
    pairs = enumerate(zip(_ZEROWASTE, colours, strict=True))
    return tuple(ClassSpec(value=value, name=name, colour=colour) for value, (name, colour) in pairs)


LABEL_SETS: dict[str, Classes] = {
    "bags": BAGS,
    # The colours of FANet's test script, which are those of the paper's figures.
    "zerowaste": _zerowaste((10, 10, 10), (230, 5, 5), (4, 200, 3), (204, 5, 255), (5, 128, 148)),
    # Those of the data set's own repository.
    "zerowaste-dataset": _zerowaste((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (125, 0, 125)),
    # Those that FANet's class declares.
    "zerowaste-meta": _zerowaste((10, 10, 10), (6, 230, 230), (4, 200, 3), (204, 5, 255), (235, 255, 7)),
}
"""Name → classes with their colours. The three of ZeroWaste differ in colours alone."""

_PER_CLASS = {"iou": "IoU", "accuracy": "recall"}

_LICENCE = "Non-commercial research use only (learnt from WoosongVision's photographs, CC BY 4.0)"
_USE = "Research demonstration of outlining waste on photographs. Not for operational use."
_LIMITATIONS = (
    "Learnt from few photographs of one kind of place. Expect it to fail in other places, light and distances, on "
    "waste of other kinds and on single items; loose rubbish that nobody labelled counts as background."
)


def _model(name: str, title: str, summary: str, architecture: str, licence: str = _LICENCE) -> WasteSpec:
    return WasteSpec(
        name=name,
        title=f"Waste on photographs, {title}",
        summary=summary,
        architecture=architecture,
        classes=BAGS,
        licence=licence,
        intended_use=_USE,
        limitations=_LIMITATIONS,
        label_sets=tuple(LABEL_SETS.values()),
    )


_COMPARED = "A network that FANet is compared with, with the same classes and the same contract."

WASTE = (
    _model(
        "waste-fanet",
        "FANet with UPerHead",
        "Outlines waste on a photograph and says of which kind it is.",
        "fanet",
    ),
    _model(
        "waste-lite0",
        "UPerHead on EfficientNet-Lite0",
        "Outlines waste on a photograph and says of which kind it is; its encoder is a public one.",
        "photo_lite0",
        _LICENCE + "; the encoder began with public ImageNet weights under Apache-2.0",
    ),
    _model(
        "waste-fcn",
        "FCN",
        "The baseline that FANet is compared with, with the same classes and the same contract.",
        "waste_fcn",
    ),
    _model(
        "waste-fanet-parts",
        "FANet without some of its parts",
        "A row of FANet's ablation, with the same classes and the same contract.",
        "fanet_parts",
    ),
    _model("waste-deeplabv3plus", "DeepLabv3+", _COMPARED, "deeplabv3plus"),
    _model("waste-focalnet", "FocalNet with UPerHead", _COMPARED, "focalnet"),
    _model("waste-cct", "CCT", _COMPARED, "cct"),
    _model("waste-reco", "ReCo", _COMPARED, "reco"),
)

TASK = ExportTask(
    name="waste",
    package="export.tasks.waste",
    subject="waste",
    models=WASTE,
    label_sets=LABEL_SETS,
    view=View(
        example="photograph",
        columns={
            "miou": "mIoU",
            "miou_without_background": "mIoU of waste",
            "pixel_accuracy": "pixel accuracy",
            **{f"{spec.name}_{kind}": f"{spec.name} {said}" for kind, said in _PER_CLASS.items() for spec in BAGS[1:]},
        },
        shown=("miou", "pixel_accuracy"),
        score="miou",
        note="Pixels of all photographs count together; mIoU counts the background.",
    ),
    command="features",
)
