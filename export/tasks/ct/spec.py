"""The models of CT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.task import BACKGROUND, ExportTask, ModelSpec, Tensors, Trained, View, as_named_in, label_specs
from gateway.repository.card import Card, ClassSpec, TensorSpec, WindowSpec


@dataclass(frozen=True, kw_only=True)
class CtSpec(ModelSpec):
    """A model that takes CT slices, and labels them or sharpens them."""

    sharpens: bool = False

    @property
    def task(self) -> str:
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

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return the window."""
        low, high = checkpoint.window
        return {"window": WindowSpec(low=low, high=high)}

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of CT adds."""
        size = card.inputs[0].shape[0]
        return {
            "inputs": self.input_specs(size),
            "outputs": as_named_in(card.format, self.output_specs(size)),
            "window": card.window,
        }


CT_CLASSES = (
    BACKGROUND,
    ClassSpec(value=1, name="ground-glass", colour=(255, 0, 0)),
    ClassSpec(value=2, name="consolidation", colour=(0, 255, 0)),
    ClassSpec(value=3, name="pleural effusion", colour=(0, 0, 255)),
)
"""The labels of COVID-19_1. Red and green are those of Inf-Net's figures, which show no effusion."""

_CT_LICENCE = "Non-commercial research use only (learnt from COVID-SemiSeg's slices)"
_CT_USE = (
    "Research demonstration of outlining COVID-19 lesions on axial chest CT. Not for clinical use: nothing it says is "
    "a diagnosis, and no decision on a patient may rest on it."
)
_CT_LIMITATIONS = (
    "Learnt from few slices, most of them of ill people, cropped to the lungs and stored as grey pictures: expect it "
    "to mark vessels, effusions, tumours and scars as lesions, and to fail on slices outside the lungs, other windows, "
    "contrast agents, thick slices and strong noise. Classes that `training.untrained` names it cannot find."
)

CT = (
    CtSpec(
        name="cogseg",
        title="COVID-19 lesions on CT, CogSeg",
        summary="Outlines ground-glass, consolidation and pleural effusion on an axial chest CT slice.",
        architecture="cogseg",
        classes=CT_CLASSES,
        licence=_CT_LICENCE,
        intended_use=_CT_USE,
        limitations=_CT_LIMITATIONS,
    ),
    CtSpec(
        name="ct-unet",
        title="COVID-19 lesions on CT, plain U-Net",
        summary="The baseline that CogSeg is compared with, with the same classes and the same contract.",
        architecture="ct_unet",
        classes=CT_CLASSES,
        licence=_CT_LICENCE,
        intended_use=_CT_USE,
        limitations=_CT_LIMITATIONS,
    ),
    CtSpec(
        name="ct-lite0",
        title="COVID-19 lesions on CT, U-Net on EfficientNet-Lite0",
        summary="Outlines lesions as CogSeg does, with the same classes and contract; its encoder is a public one.",
        architecture="ct_lite0",
        classes=CT_CLASSES,
        licence=_CT_LICENCE + "; the encoder began with public ImageNet weights under Apache-2.0",
        intended_use=_CT_USE,
        limitations=_CT_LIMITATIONS,
    ),
    *(
        CtSpec(
            name=name,
            title=f"COVID-19 lesions on CT, {title}",
            summary="One of the networks that CogSeg's paper compares it with, with the same classes and contract.",
            architecture=architecture,
            classes=CT_CLASSES,
            licence=_CT_LICENCE,
            intended_use=_CT_USE,
            limitations=_CT_LIMITATIONS,
        )
        for name, title, architecture in (
            ("ct-unet-plus-plus", "U-Net++", "unet_plus_plus"),
            ("ct-attention-unet", "Attention U-Net", "attention_unet"),
            ("ct-denseunet", "DenseUNet", "denseunet"),
            ("ct-fcn8s", "FCN-8s", "fcn8s"),
            ("ct-deeplabv2", "DeepLabv2", "deeplabv2"),
            ("ct-hrnet", "HRNet", "hrnet"),
        )
    ),
    CtSpec(
        name="cogseg_sr",
        title="CT slice at twice its size, CogSeg's super-resolution",
        summary="Gives an axial chest CT slice at twice its size; CogSeg's second decoder, there to train the first.",
        architecture="cogseg",
        classes=(),
        licence=_CT_LICENCE,
        intended_use="Research demonstration. Not for clinical use: fine detail is invented, not measured.",
        limitations="Shows nothing outside its window, and nothing that the coarse slice does not hold.",
        on_request=True,
        sharpens=True,
    ),
)

TASK = ExportTask(
    name="ct",
    package="export.tasks.ct",
    subject="CT",
    models=CT,
    size=256,
    view=View(
        example="slice",
        columns={
            "miou": "mIoU",
            "infection_dsc": "infection DSC",
            "infection_sensitivity": "sensitivity",
            "infection_specificity": "specificity",
            "ground-glass_dsc": "ground-glass DSC",
            "consolidation_dsc": "consolidation DSC",
            "pixel_accuracy": "accuracy",
        },
        shown=("miou", "infection_dsc", "infection_sensitivity"),
        score="infection_dsc",
        note="Pixels of all slices count together; infection is any lesion, mIoU counts the background.",
    ),
)
