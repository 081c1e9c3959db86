"""The models that take off clouds."""

from __future__ import annotations

from dataclasses import dataclass

from export.task import ExportTask, Tensors, TiledSpec, View
from gateway.repository.card import TensorSpec


@dataclass(frozen=True, kw_only=True)
class RestoreSpec(TiledSpec):
    """A model that takes tiles of satellite images and gives tiles; a checkpoint chooses their side."""

    @property
    def task(self) -> str:
        """The card's task."""
        return "restore"

    def output_specs(self, size: int) -> Tensors:
        """Return the graph's outputs: the image without clouds, and how much of each pixel was invented."""
        return (
            TensorSpec(name="restored", dtype="uint8", shape=(size, size, 3)),
            TensorSpec(name="invented", dtype="uint8", shape=(size, size)),
        )


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
