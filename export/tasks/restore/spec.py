"""The models that take off clouds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.task import ExportTask, ModelSpec, Tensors, Trained, View, as_named_in
from gateway.repository.card import Card, TensorSpec

_OVERLAP = 64


@dataclass(frozen=True, kw_only=True)
class RestoreSpec(ModelSpec):
    """A model that takes tiles of satellite images and gives tiles; a checkpoint chooses their side."""

    @property
    def task(self) -> str:
        """The card's task."""
        return "restore"

    def overlap(self, size: int) -> int:
        """Return what neighbouring tiles of `size` share at least, in pixels."""
        return min(_OVERLAP, size // 4)

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: uint8 RGB tiles."""
        return (TensorSpec(name="image", dtype="uint8", shape=(size, size, 3)),)

    def output_specs(self, size: int) -> Tensors:
        """Return the graph's outputs: the image without clouds, and how much of each pixel was invented."""
        return (
            TensorSpec(name="restored", dtype="uint8", shape=(size, size, 3)),
            TensorSpec(name="invented", dtype="uint8", shape=(size, size)),
        )

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return how tiles overlap."""
        return {"overlap": self.overlap(checkpoint.size)}

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model that takes off clouds adds."""
        size = card.inputs[0].shape[0]
        return {
            "inputs": self.input_specs(size),
            "outputs": as_named_in(card.format, self.output_specs(size)),
            "overlap": self.overlap(size),
        }


RESTORE = (
    RestoreSpec(
        name="restore-gan",
        title="Clouds off satellite images, pix2pix",
        summary="Takes haze, cloud and their shadows off one satellite image, and says how much of it is invented.",
        architecture="pix2pix",
        classes=(),
        licence="Non-commercial research use only (learnt from RICE and xBD)",
        intended_use=(
            "Research demonstration of removing clouds. Not for operational use: what lies under thick cloud is "
            "invented, and nothing may be decided by it."
        ),
        limitations=(
            "Takes white roofs for cloud: on photographs of towns it darkens them and calls them invented, where there "
            "are no clouds too. Under thick cloud it draws ground of about the right colour and knows nothing of what "
            "stands there; of broad cloud it leaves some. Learnt from few pairs, of two sensors and other scenes than "
            "damage, and from drawn clouds over xBD and drawn scenes; fine structure suffers, so that under drawn "
            "clouds the SSIM of the image as it is is higher."
        ),
    ),
)

_SOURCES = {"thin": "thin cloud", "thick": "thick cloud", "drawn": "drawn clouds"}

TASK = ExportTask(
    name="restore",
    package="export.tasks.restore",
    subject="the removal of clouds",
    models=RESTORE,
    size=256,
    starts=False,
    draws=True,
    view=View(
        example="image",
        columns={
            f"{source}_{name}": f"{words}, {heading}"
            for source, words in _SOURCES.items()
            for name, heading in (("psnr", "PSNR"), ("clouded_psnr", "PSNR of clouded pixels"), ("ssim", "SSIM"))
        },
        shown=tuple(f"{source}_ssim" for source in _SOURCES),
        score="thick_ssim",
        note="PSNR is in dB. The mean of the known ground is told where clouds are; the others are not.",
    ),
)
