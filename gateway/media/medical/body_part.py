"""Which part of the body a DICOM file says it shows: by code, by word, and frame by frame.

Codes: DICOM PS3.16 CID 4031 (common anatomic regions), in SNOMED CT and, of older files, in SNOMED RT. Words: the
defined terms of Body Part Examined (PS3.16 annex L) and what scanners write in their place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from gateway.errors import BodyPartUnsuitable

if TYPE_CHECKING:
    from pydicom import Dataset

BodyPart = Literal["chest", "other", "unstated"]

_CHEST_CODES = frozenset(
    {
        "816094009",  # chest
        "51185008",  # chest, before 2019
        "T-D3000",
        "43799004",  # thoracic cavity
        "39607008",  # lung
        "T-28000",
        "86598002",  # apex of lung
        "72410000",  # mediastinum
        "T-D3300",
        "113197003",  # rib
        "T-11300",
        "417437006",  # neck and chest
        "R-FAB52",
        "416152001",  # neck, chest and abdomen
        "R-FAB53",
        "416319003",  # neck, chest, abdomen and pelvis
        "R-FAB54",
        "416550000",  # chest and abdomen
        "R-FAB55",
        "416775004",  # chest, abdomen and pelvis
        "R-FAB56",
        "38266002",  # entire body
        "T-D0010",
    }
)
_CHEST_WORDS = frozenset(
    {"LUNG", "LUNGS", "RIB", "RIBS", "MEDIASTINUM", "PULMON", "PULMONARY", "PULMAO", "PULMONES", "CAP", "WHOLEBODY"}
)
# The chest alone or with what lies beside it, in one word: CHESTABDPELVIS, NECKCHEST, TORAXABDOMEN.
_CHEST_COMPOUND = re.compile("(HEAD|NECK|HALS)*(CHEST|THORAX|THORACIC|TORAX|TORACE)(ABD|ABDOMEN|PELV|PELVIS|BECKEN)*")
_WORD = re.compile("[A-Z]+")


def body_part_of(dataset: Dataset) -> BodyPart:
    """Return which part of the body a file says it shows; frames and words together, the chest anywhere counts."""
    regions = [*_regions(dataset), *(region for groups in _groups(dataset) for region in _frame_regions(groups))]
    codes = {str(region.get("CodeValue", "")) for region in regions} - {""}
    stated = str(dataset.get("BodyPartExamined") or "").upper()
    if codes & _CHEST_CODES or _names_chest(stated):
        return "chest"
    return "other" if stated.strip() or codes else "unstated"


def require_chest(part: BodyPart, stated: BodyPart | None = None) -> tuple[str, ...]:
    """Return what to tell the caller of the body part.

    Args:
        part: what the file says.
        stated: what the caller says, who knows better than a mislabelled file.

    Raises:
        BodyPartUnsuitable: the file says that it shows another part, and the caller does not say that it is the chest.
    """
    if part == "chest":
        return ()
    if stated == "chest":
        says = "another part of the body" if part == "other" else "no part of the body"
        return (f"taken as chest because the caller says so; the file says {says}",)
    if part == "other":
        raise BodyPartUnsuitable(
            "The DICOM file says that it shows another part of the body than the chest. If it is wrong, send "
            "body_part=chest."
        )
    return ("the file does not say which part of the body it shows",)


def _names_chest(stated: str) -> bool:
    """Return whether a body part names the chest: whole words only, as SCRIBE holds RIB and is none."""
    words = _WORD.findall(stated)
    joined = "".join(words)
    return any(word in _CHEST_WORDS or _CHEST_COMPOUND.fullmatch(word) for word in (*words, joined))


def _regions(dataset: Dataset) -> list[Dataset]:
    return list(dataset.get("AnatomicRegionSequence") or ())


def _frame_regions(groups: Dataset) -> Iterator[Dataset]:
    for anatomy in groups.get("FrameAnatomySequence") or ():
        yield from _regions(anatomy)


def _groups(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the functional groups of all frames, those that they share first."""
    yield from dataset.get("SharedFunctionalGroupsSequence") or ()
    yield from dataset.get("PerFrameFunctionalGroupsSequence") or ()
