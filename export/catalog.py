"""Every model that `export` can build: one entry each, from which card, configuration and labels are generated."""

from __future__ import annotations

from export.entries import ClickEntry, DamageEntry, Entry, SliceEntry
from export.errors import CheckpointError
from gateway.repository.card import ClassSpec

BACKGROUND = ClassSpec(value=0, name="background", colour=(0, 0, 0))

DAMAGE_CLASSES = (
    BACKGROUND,
    ClassSpec(value=1, name="no-damage", colour=(0, 128, 0)),
    ClassSpec(value=2, name="minor-damage", colour=(0, 0, 255)),
    ClassSpec(value=3, name="major-damage", colour=(255, 165, 0)),
    ClassSpec(value=4, name="destroyed", colour=(255, 0, 0)),
)
"""xBD's damage scale. xBD names no official palette; torchgeo lists these colours in this order."""

_XBD_LICENCE = "CC BY-NC-SA 4.0 (learnt from xBD imagery and labels)"

_LIMITATIONS = (
    "Made for RGB satellite images of about 0.3 to 0.8 m per pixel, and learnt from few of them. Expect it to fail on "
    "other ground resolutions, sensors, seasons, building styles and kinds of disaster, and under cloud or smoke."
)


_DAMAGE = (
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
        intended_use=(
            "Research demonstration of mapping building damage from registered image pairs. "
            "Not for operational use: no decision on people or aid may rest on it."
        ),
        limitations=_LIMITATIONS
        + " A pair must be registered to within a few pixels. Neighbouring damage grades are often confused.",
    ),
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

_CLICKED = (
    ClickEntry(
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
    ClickEntry(
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
    ClickEntry(
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
    ClickEntry(
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

_CT = (
    SliceEntry(
        name="cogseg",
        title="COVID-19 lesions on CT, CogSeg",
        summary="Outlines ground-glass, consolidation and pleural effusion on an axial chest CT slice.",
        architecture="cogseg",
        classes=CT_CLASSES,
        licence=_CT_LICENCE,
        intended_use=_CT_USE,
        limitations=_CT_LIMITATIONS,
    ),
    SliceEntry(
        name="ct-unet",
        title="COVID-19 lesions on CT, plain U-Net",
        summary="The baseline that CogSeg is compared with, with the same classes and the same contract.",
        architecture="ct_unet",
        classes=CT_CLASSES,
        licence=_CT_LICENCE,
        intended_use=_CT_USE,
        limitations=_CT_LIMITATIONS,
    ),
    SliceEntry(
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

CATALOG: dict[str, Entry] = {entry.name: entry for entry in (*_DAMAGE, *_CLICKED, *_CT)}
"""Name → entry."""


def entries_of(architecture: str) -> tuple[Entry, ...]:
    """Return the entries that a checkpoint of `architecture` becomes if none is named; an encoder is before its head.

    Raises:
        CheckpointError: there are none.
    """
    of_it = (entry for entry in CATALOG.values() if entry.architecture == architecture)
    if found := tuple(entry for entry in of_it if not entry.on_request):
        return found
    known = ", ".join(dict.fromkeys(entry.architecture for entry in CATALOG.values()))
    raise CheckpointError(f"no model of the catalogue is a {architecture!r}; known: {known}")


def damage_entry_of(architecture: str) -> DamageEntry:
    """Return the entry that serves checkpoints of `architecture`, a network of damage.

    Raises:
        CheckpointError: it is of another task.
    """
    for entry in entries_of(architecture):
        if isinstance(entry, DamageEntry):
            return entry
    raise CheckpointError(f"a {architecture} grades no damage")


def slice_entry_of(architecture: str) -> SliceEntry:
    """Return the entry that labels slices with checkpoints of `architecture`.

    Raises:
        CheckpointError: it is of another task.
    """
    for entry in entries_of(architecture):
        if isinstance(entry, SliceEntry):
            return entry
    raise CheckpointError(f"a {architecture} labels no slices")
