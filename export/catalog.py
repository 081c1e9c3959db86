"""Every model that `export` can build: one entry each, from which card, configuration and labels are generated."""

from __future__ import annotations

from export.entries import ClickEntry, DamageEntry, Entry
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

CATALOG: dict[str, Entry] = {entry.name: entry for entry in (*_DAMAGE, *_CLICKED)}
"""Name → entry."""


def entries_of(architecture: str) -> tuple[Entry, ...]:
    """Return the entries that a checkpoint of `architecture` becomes; an encoder comes before its head.

    Raises:
        CheckpointError: there are none.
    """
    if found := tuple(entry for entry in CATALOG.values() if entry.architecture == architecture):
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
