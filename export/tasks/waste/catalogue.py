"""The models of waste, and the label sets that their weights may know."""

from __future__ import annotations

from export.tasks.specs import WasteEntry
from export.tasks.terms import BACKGROUND
from gateway.repository.card import ClassSpec

Classes = tuple[ClassSpec, ...]
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

_LICENCE = "Non-commercial research use only (learnt from WoosongVision's photographs, CC BY 4.0)"
_USE = "Research demonstration of outlining waste on photographs. Not for operational use."
_LIMITATIONS = (
    "Learnt from few photographs of one kind of place. Expect it to fail in other places, light and distances, on "
    "waste of other kinds and on single items; loose rubbish that nobody labelled counts as background."
)

WASTE = (
    WasteEntry(
        name="waste-fanet",
        title="Waste on photographs, FANet with UPerHead",
        summary="Outlines waste on a photograph and says of which kind it is.",
        architecture="fanet",
        classes=BAGS,
        licence=_LICENCE,
        intended_use=_USE,
        limitations=_LIMITATIONS,
        label_sets=tuple(LABEL_SETS.values()),
    ),
    WasteEntry(
        name="waste-fcn",
        title="Waste on photographs, FCN",
        summary="The baseline that FANet is compared with, with the same classes and the same contract.",
        architecture="waste_fcn",
        classes=BAGS,
        licence=_LICENCE,
        intended_use=_USE,
        limitations=_LIMITATIONS,
        label_sets=tuple(LABEL_SETS.values()),
    ),
)
