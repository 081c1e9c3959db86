"""The models of building damage."""

from __future__ import annotations

from export.tasks.specs import CropEntry, DamageEntry
from export.tasks.terms import BACKGROUND
from gateway.repository.card import ClassSpec

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

_XBD_LICENCE = "CC BY-NC-SA 4.0 (learnt from xBD imagery and labels)"

_LIMITATIONS = (
    "Made for RGB satellite images of about 0.3 to 0.8 m per pixel, and learnt from few of them. Expect it to fail on "
    "other ground resolutions, sensors, seasons, building styles and kinds of disaster, and under cloud or smoke."
)

_PAIR_USE = (
    "Research demonstration of mapping building damage from registered image pairs. "
    "Not for operational use: no decision on people or aid may rest on it."
)
_PAIR_LIMITATIONS = (
    _LIMITATIONS + " A pair must be registered to within a few pixels. Neighbouring damage grades are often confused."
)

DAMAGE = (
    DamageEntry(
        name="bd-fcn",
        title="Building footprints, FCN",
        summary="Finds buildings in one satellite image, taken before a disaster or in peace.",
        architecture="fcn",
        inputs=("pre",),
        classes=(BACKGROUND, ClassSpec(value=1, name="building", colour=(0, 128, 0))),
        licence=_XBD_LICENCE,
        intended_use=(
            "Research demonstration of locating buildings on high-resolution satellite images. Not for operational use."
        ),
        limitations=_LIMITATIONS + " Says nothing about damage.",
    ),
    DamageEntry(
        name="bd-siamunet",
        title="Building damage, Siamese U-Net",
        summary="Compares satellite images before and after a disaster and grades the damage to each building.",
        architecture="siamunet",
        inputs=("pre", "post"),
        classes=DAMAGE_CLASSES,
        licence=_XBD_LICENCE,
        intended_use=_PAIR_USE,
        limitations=_PAIR_LIMITATIONS,
    ),
    DamageEntry(
        name="bd-dahitra",
        title="Building damage, DAHiTra",
        summary="Compares satellite images before and after a disaster by a few tokens per level, and grades damage.",
        architecture="dahitra",
        inputs=("pre", "post"),
        classes=DAMAGE_CLASSES,
        licence=_XBD_LICENCE,
        intended_use=_PAIR_USE,
        limitations=_PAIR_LIMITATIONS,
    ),
    DamageEntry(
        name="bd-dahitra-levir",
        title="Changed buildings, DAHiTra",
        summary="Compares two satellite images of one place and finds buildings that came, went or changed.",
        architecture="dahitra_levir",
        inputs=("pre", "post"),
        classes=(BACKGROUND, ClassSpec(value=1, name="changed building", colour=(255, 0, 0))),
        licence="unstated (LEVIR-CD is for academic use)",
        intended_use=_PAIR_USE,
        limitations=_PAIR_LIMITATIONS + " Says that a building has changed, and not how.",
        tile=256,
    ),
    CropEntry(
        name="bd-cnn",
        title="Damage of one building, CNN",
        summary="Grades one building on a crop of the satellite image after a disaster; finds none by itself.",
        architecture="cnn",
        classes=GRADES,
        licence=_XBD_LICENCE,
        intended_use=_PAIR_USE,
        limitations=_LIMITATIONS
        + " Sees the building after the disaster alone, and only as well as its box was found. Neighbouring damage "
        "grades are often confused.",
        max_batch_size=64,
    ),
)
