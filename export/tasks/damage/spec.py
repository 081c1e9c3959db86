"""The models of building damage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.task import BACKGROUND, ExportTask, ModelSpec, Tensors, Trained, View, as_named_in, label_specs
from export.terrain import COVER, ELEVATION, SURFACE
from gateway.repository.card import Card, ClassSpec, RasterSpec, TensorSpec, VoteSpec


@dataclass(frozen=True, kw_only=True)
class DamageSpec(ModelSpec):
    """A model that takes tiles of satellite images.

    `inputs` are the roles of its images, in order, and `rasters` what it takes beside them. `tile` and `overlap` are
    pixels of the input.
    """

    inputs: tuple[str, ...]
    rasters: tuple[RasterSpec, ...] = ()
    vote: VoteSpec | None = None
    tile: int = 544
    overlap: int = 64

    @property
    def task(self) -> str:
        """The card's task."""
        return "damage"

    def input_specs(self) -> Tensors:
        """Return the graph's inputs: uint8 RGB tiles, then rasters."""
        side = (self.tile, self.tile)
        images = (TensorSpec(name=role, dtype="uint8", shape=(*side, 3)) for role in self.inputs)
        beside = (TensorSpec(name=raster.input, dtype=raster.dtype, shape=side) for raster in self.rasters)
        return (*images, *beside)

    def output_specs(self) -> Tensors:
        """Return the graph's outputs: label map, then quantised probabilities."""
        return label_specs((self.tile, self.tile), len(self.classes))

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return how tiles overlap, what rasters hold, and how buildings are graded."""
        return {"overlap": self.overlap, "rasters": self.rasters, "vote": self.vote}

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a damage model adds."""
        return {
            "inputs": self.input_specs(),
            "outputs": as_named_in(card.format, self.output_specs()),
            "overlap": self.overlap,
            "rasters": self.rasters,
            "vote": self.vote,
        }


DAMAGE_CLASSES = (
    BACKGROUND,
    ClassSpec(value=1, name="no-damage", colour=(0, 128, 0)),
    ClassSpec(value=2, name="minor-damage", colour=(0, 0, 255)),
    ClassSpec(value=3, name="major-damage", colour=(255, 165, 0)),
    ClassSpec(value=4, name="destroyed", colour=(255, 0, 0)),
)
"""xBD's damage scale. xBD names no official palette; torchgeo lists these colours in this order."""

GRADES = tuple(spec.model_copy(update={"value": spec.value - 1}) for spec in DAMAGE_CLASSES[1:])
"""The same scale without background, as a model of one building counts it: from 0."""

ROOF_VOTE = VoteSpec(apart=4, least=0.1, largest=512)
"""Roofs touch ruins, which they would outvote, but a tenth of a roof is no ruin; what is longer than 256 m at half a
metre is more than one roof."""

XBD_LICENCE = "CC BY-NC-SA 4.0 (learnt from xBD imagery and labels)"
LITE0_LICENCE = XBD_LICENCE + "; the encoder began with public ImageNet weights under Apache-2.0"

LIMITATIONS = (
    "Made for RGB satellite images of about 0.3 to 0.8 m per pixel, and learnt from few of them. Expect it to fail on "
    "other ground resolutions, sensors, seasons, building styles and kinds of disaster, and under cloud or smoke."
)

PAIR_USE = (
    "Research demonstration of mapping building damage from registered image pairs. "
    "Not for operational use: no decision on people or aid may rest on it."
)
_PAIR_LIMITATIONS = (
    LIMITATIONS + " A pair must be registered to within a few pixels. Neighbouring damage grades are often confused."
)


def _pair(name: str, title: str, summary: str, architecture: str, licence: str = XBD_LICENCE) -> DamageSpec:
    return DamageSpec(
        name=name,
        title=f"Building damage, {title}",
        summary=summary,
        architecture=architecture,
        inputs=("pre", "post"),
        classes=DAMAGE_CLASSES,
        vote=ROOF_VOTE,
        licence=licence,
        intended_use=PAIR_USE,
        limitations=_PAIR_LIMITATIONS,
    )


def _series(name: str, title: str, architecture: str, licence: str = XBD_LICENCE) -> DamageSpec:
    return DamageSpec(
        name=name,
        title=f"Building damage of a series, {title}",
        summary="Reads a satellite image before a disaster and up to three after it, and grades the damage of the last "
        "date.",
        architecture=architecture,
        inputs=("pre", "between_1", "between_2", "post"),
        classes=DAMAGE_CLASSES,
        vote=ROOF_VOTE,
        licence=licence,
        intended_use=PAIR_USE,
        limitations=_PAIR_LIMITATIONS + " No real series was learnt from: images between two dates were made of these.",
        on_request=True,
    )


TERRAIN = (
    RasterSpec(
        input="elevation",
        title="Metres above sea level of the bare ground; what counts is how it lies to what is around",
        low=ELEVATION[0],
        high=ELEVATION[1],
    ),
    RasterSpec(
        input="surface",
        title="Metres above the ground of what stands there, before the disaster or after it",
        low=SURFACE[0],
        high=SURFACE[1],
    ),
    RasterSpec(input="landcover", title="What covered the ground before the disaster", classes=COVER),
)

DAMAGE = (
    DamageSpec(
        name="bd-fcn",
        title="Building footprints, FCN",
        summary="Finds buildings in one satellite image, taken before a disaster or in peace.",
        architecture="fcn",
        inputs=("pre",),
        classes=(BACKGROUND, ClassSpec(value=1, name="building", colour=(0, 128, 0))),
        licence=XBD_LICENCE,
        intended_use=(
            "Research demonstration of locating buildings on high-resolution satellite images. Not for operational use."
        ),
        limitations=LIMITATIONS + " Says nothing about damage.",
    ),
    _pair(
        "bd-siamunet",
        "Siamese U-Net",
        "Compares satellite images before and after a disaster and grades the damage to each building.",
        "siamunet",
    ),
    _pair(
        "bd-lite0",
        "Siamese U-Net on EfficientNet-Lite0",
        "Compares satellite images before and after a disaster with a public encoder, and grades the damage.",
        "siamese_lite0",
        LITE0_LICENCE,
    ),
    _pair(
        "bd-dahitra",
        "DAHiTra",
        "Compares satellite images before and after a disaster by a few tokens per level, and grades damage.",
        "dahitra",
    ),
    _pair(
        "bd-rnn",
        "recurrent Siamese network",
        "Reads satellite images before and after a disaster one after the other, and grades the damage.",
        "siamcrnn",
    ),
    _series("bd-rnn-series", "recurrent Siamese network", "siamcrnn"),
    _pair(
        "bd-rnn-lite0",
        "recurrent network on EfficientNet-Lite0",
        "Reads satellite images before and after a disaster one after the other with a public encoder, and grades the "
        "damage.",
        "crnn_lite0",
        LITE0_LICENCE,
    ),
    _series("bd-rnn-lite0-series", "recurrent network on EfficientNet-Lite0", "crnn_lite0", LITE0_LICENCE),
    DamageSpec(
        name="bd-terrain",
        title="Building damage, Siamese U-Net with terrain",
        summary="Compares satellite images before and after a disaster, with elevation, heights above ground and land "
        "cover where they are known, and grades the damage to each building.",
        architecture="siamunet_terrain",
        inputs=("pre", "post"),
        rasters=TERRAIN,
        classes=DAMAGE_CLASSES,
        vote=ROOF_VOTE,
        licence=XBD_LICENCE,
        intended_use=PAIR_USE,
        limitations=_PAIR_LIMITATIONS + " Terrain was learnt from drawn scenes alone, whose rasters are better than "
        "real ones.",
    ),
    DamageSpec(
        name="bd-dahitra-levir",
        title="Changed buildings, DAHiTra",
        summary="Compares two satellite images of one place and finds buildings that came, went or changed.",
        architecture="dahitra_levir",
        inputs=("pre", "post"),
        classes=(BACKGROUND, ClassSpec(value=1, name="changed building", colour=(255, 0, 0))),
        licence="unstated (LEVIR-CD is for academic use)",
        intended_use=PAIR_USE,
        limitations=_PAIR_LIMITATIONS + " Says that a building has changed, and not how.",
        tile=256,
    ),
)

TASK = ExportTask(
    name="damage",
    package="export.tasks.damage",
    subject="damage",
    models=DAMAGE,
    command="calibrate",
    draws=True,
    view=View(
        example="pair",
        columns={
            "localisation_f1": "localisation F1",
            "localisation_iou": "IoU",
            "no-damage_f1": "no-damage F1",
            "minor-damage_f1": "minor-damage F1",
            "major-damage_f1": "major-damage F1",
            "destroyed_f1": "destroyed F1",
            "damage_f1_harmonic_mean": "damage F1",
            "xview2_score": "xView2 score",
            "localisation_recall": "recall",
            "pixel_accuracy": "accuracy",
        },
        shown=("localisation_f1", "damage_f1_harmonic_mean", "xview2_score"),
        score="xview2_score",
        note="Damage F1 is the harmonic mean of the four, over pixels of true buildings; recall is that of buildings; "
        "accuracy is over all pixels.",
        unit="a pair of 1024×1024 pixels",
    ),
    comparison="compare",
    integers="precision",
)
