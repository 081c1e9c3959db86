"""The elements of a DICOM header, counted before a library makes an object of each.

An item of a sequence takes eight bytes in the file and a kilobyte as an object, a number in a list of text two bytes
and two hundred; and sequences in each other are read by functions in each other. So how many there are, how deep they
lie and how long their values are is bounded here, by a walk that keeps nothing of them. What a length promises beyond
the end of the file is the reader's business: it is given the bytes that are there.

DICOM PS3.5, sections 7.1 (elements) and 7.5 (sequences).
"""

from __future__ import annotations

from functools import cache
from struct import Struct
from struct import error as StructError

from gateway.errors import ImageUnreadable
from gateway.media.medical import dicom_tags
from gateway.media.medical.transfer_syntaxes import IMPLICIT, LONG_FORMS, NATIVE, meta_information

MAX_ELEMENTS = 1 << 18
"""Elements in one header. An enhanced CT of 2,000 frames has some 60,000."""

MAX_ITEMS = 1 << 14
"""Items of all sequences in one header. Such a CT has some 14,000."""

MAX_DEPTH = 16
"""Sequences in each other; those of images have four."""

MAX_TEXT = 1 << 12
"""Bytes of a value that is made into numbers or words, one by one; of types whose values may have 64 characters."""

_PIXEL_GROUP = 0x7FE0
_ITEMS = 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
_UNDEFINED = 0xFFFFFFFF
_SEQUENCE = b"SQ"
_PLAIN = frozenset(
    {
        *LONG_FORMS,
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO"),
        *(b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    }
)


def check_elements(data: bytes, syntax: str) -> None:
    """Walk the header of a DICOM file, up to its pixels or to where it makes no sense any more.

    Args:
        data: the file, or its beginning.
        syntax: its transfer syntax.

    Raises:
        ImageUnreadable: it has too many elements, too deep sequences, or a value too long that would be read.
    """
    top_elements(data, syntax)


def top_elements(data: bytes, syntax: str) -> list[tuple[int, int]]:
    """Return the elements that lie in no other, each as its tag and the byte at which it begins, in order.

    The last is the first of the pixels' group; what ends before that, or is of a form that readers take in several
    ways, has none.

    Args:
        data: as of `check_elements`.
        syntax: its transfer syntax.

    Raises:
        ImageUnreadable: as `check_elements`.
    """
    found: list[tuple[int, int]] = []
    try:
        sound = _walk(data, meta_information(data)[1], NATIVE.get(syntax, "<"), syntax == IMPLICIT, found)
    except StructError:
        # It ends in the middle; what was before is within bounds.
        return []
    return found if sound else []


def _walk(data: bytes, at: int, order: str, implicit: bool, found: list[tuple[int, int]]) -> bool:
    """Walk the elements, put those that lie in no other into `found`, and return whether all were plain."""
    sound = True
    tag, long, short = Struct(order + "HH"), Struct(order + "I"), Struct(order + "H")
    # Where each open sequence or item ends; None: a delimiter will say.
    ends: list[int | None] = []
    items, read = 0, _read_tags()
    for _ in range(MAX_ELEMENTS):
        while ends and (end := ends[-1]) is not None and at >= end:
            ends.pop()
        group, element = tag.unpack_from(data, at)
        if not ends:
            found.append((group << 16 | element, at))
        at += 4
        if group == _ITEMS:
            (length,) = long.unpack_from(data, at)
            at += 4
            if element == _ITEM:
                items += 1
                if items > MAX_ITEMS:
                    break
                _open(ends, at, length)
            elif element in (_ITEM_END, _SEQUENCE_END) and ends:
                ends.pop()
            continue
        if group == _PIXEL_GROUP and not ends:
            return sound
        kind = b"" if implicit else data[at : at + 2]
        if implicit or kind in LONG_FORMS:
            (length,) = long.unpack_from(data, at + (0 if implicit else 4))
            at += 4 if implicit else 8
        else:
            (length,) = short.unpack_from(data, at + 2)
            at += 4
        # What is inside of an unknown type of undefined length is implicit, whatever the file is.
        sound = sound and (implicit or kind in (_PLAIN if length != _UNDEFINED else (_SEQUENCE,)))
        if length == _UNDEFINED or kind == _SEQUENCE or (implicit and data[at : at + 4] == tag.pack(_ITEMS, _ITEM)):
            _open(ends, at, length)
        elif length > MAX_TEXT and (group << 16 | element) in read:
            raise ImageUnreadable("The DICOM header holds a value that is longer than its type may be.")
        else:
            at += length
    raise ImageUnreadable("The DICOM header has more elements than are read.")


@cache
def _read_tags() -> frozenset[int]:
    """Return the tags whose values are read, those of sequences aside."""
    from pydicom.datadict import tag_for_keyword

    tags = (tag_for_keyword(keyword) for keyword in dicom_tags.READ if not keyword.endswith("Sequence"))
    return frozenset(int(tag) for tag in tags if tag is not None)


def _open(ends: list[int | None], at: int, length: int) -> None:
    # A sequence and an item in it count as one.
    if len(ends) >= 2 * MAX_DEPTH:
        raise ImageUnreadable("The DICOM header has sequences in each other that are too many.")
    ends.append(None if length == _UNDEFINED else at + length)
