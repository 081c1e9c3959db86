"""The interactive models."""

from __future__ import annotations

from export.tasks.specs import ClickEntry
from export.tasks.terms import BACKGROUND
from gateway.repository.card import ClassSpec

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

CLICKED = (
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
