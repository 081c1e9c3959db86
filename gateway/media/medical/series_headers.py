"""Headers of the files of a series, one after the other: what a file says as the one before does is parsed once.

To make objects of a header takes a library a millisecond, and of a series all headers are read before its order is
known. Its files say the same of the patient, the scanner and the pixels; among the tags that are read here they differ
in the name of the slice and where it lies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from struct import pack, unpack_from
from typing import TYPE_CHECKING

from gateway.errors import MaskgateError
from gateway.media.medical import dicom_tags
from gateway.media.medical.dicom import DicomHeader, find_pixels, read_header, says_lossy
from gateway.media.medical.dicom_elements import top_elements
from gateway.media.medical.dicom_frames import ByteRange
from gateway.media.medical.transfer_syntaxes import (
    DECODERS,
    IMPLICIT,
    LONG_FORMS,
    NATIVE,
    PREAMBLE,
    SIGNATURE,
    meta_information,
)
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

_PIXEL_DATA = 0x7FE00010
# What may differ, with its type; neither depends on another element, as texts do on the character set.
_OWN = {0x00080018: b"UI", 0x00200032: b"DS"}
# MediaStorageSOPInstanceUID, in group 2.
_META_INSTANCE = 3
# Of an enhanced CT, which says of each frame where it lies.
_GROUPS = {0x52009229, 0x52009230}
# Tag and type of the first element: by them a library tells explicit types from implicit ones.
_FIRST_BYTES = 6


@dataclass(frozen=True)
class _Said:
    """What the bytes of a header say, unparsed.

    Attributes:
        syntax: the transfer syntax.
        common: all elements that are read and may not differ.
        own: the byte ranges of those that may, by tag.
        tags: of the elements that are read.
        end: the byte at which the pixels' element begins.
    """

    syntax: str
    common: bytes = field(repr=False)
    own: dict[int, ByteRange]
    tags: frozenset[int]
    end: int


class SeriesHeaders:
    """Reads headers as `read_header` does, and keeps the last that it had to parse."""

    def __init__(self) -> None:
        """Have read nothing."""
        self._last: tuple[_Said, DicomHeader] | None = None

    def read(
        self, data: bytes, size: int | None = None, judge: Callable[[Dataset], None] = lambda dataset: None
    ) -> DicomHeader:
        """Return the header of a file; where it is of the `kin` of the last one, `judge` has passed its tags already.

        Args:
            data: as of `read_header`.
            size: as of `read_header`.
            judge: as of `read_header`.

        Raises:
            MaskgateError: as `read_header`.
        """
        said = _said(data)
        if said and self._last and (header := _alike(*self._last, said, data, size)):
            return header
        header = read_header(data, size, judge)
        self._last = (said, header) if said and _agree(said, header, data, size) else None
        return header


def _said(data: bytes) -> _Said | None:
    """Return what a header says; None: it is damaged, or not so plain that equal bytes say the same."""
    try:
        syntax, start = meta_information(data)
        elements = top_elements(data, syntax) if syntax in NATIVE or syntax in DECODERS else []
    except MaskgateError:
        return None
    tags = [tag for tag, _ in elements]
    if not tags or tags[-1] != _PIXEL_DATA or any(tag >= following for tag, following in pairwise(tags)):
        return None
    read = [(tag, (at, end)) for (tag, at), (_, end) in pairwise(elements) if tag in _read_tags()]
    found = frozenset(tag for tag, _ in read)
    if found & _GROUPS:
        return None
    common = [
        _meta(data, start),
        data[start : start + _FIRST_BYTES],
        *(data[slice(*place)] for tag, place in read if tag not in _OWN),
    ]
    return _Said(syntax, b"".join(common), {tag: place for tag, place in read if tag in _OWN}, found, elements[-1][1])


def _meta(data: bytes, end: int) -> bytes:
    """Return the meta information, which ends at byte `end`, without the name of the slice and its own length.

    A length that is not the true one stays in it: readers go by either.
    """
    kept, at = [], PREAMBLE + len(SIGNATURE)
    while at < end:
        kind = data[at + 4 : at + 6]
        value = at + (12 if kind in LONG_FORMS else 8)
        (length,) = unpack_from("<I" if kind in LONG_FORMS else "<H", data, value - (4 if kind in LONG_FORMS else 2))
        element = unpack_from("<H", data, at + 2)[0]
        own = element == _META_INSTANCE or (element, data[value : value + 4]) == (0, pack("<I", end - value - 4))
        kept.append(data[at : at + 6] if own else data[at : value + length])
        at = value + length
    return b"".join(kept)


def _agree(said: _Said, header: DicomHeader, data: bytes, size: int | None) -> bool:
    """Return whether the library read the elements that the walk over the bytes found, up to the same place."""
    try:
        frames, _ = find_pixels(data, size, said.end, header.syntax, header.layout)
    except MaskgateError:
        return False
    return header.dataset.keys() == said.tags and frames == header.frames


def _alike(last: _Said, header: DicomHeader, said: _Said, data: bytes, size: int | None) -> DicomHeader | None:
    """Return the header of a file that says the same as the last one but for its name and place; None: it does not."""
    if (said.syntax, said.common, said.tags) != (last.syntax, last.common, last.tags):
        return None
    try:
        frames, lossy = find_pixels(data, size, said.end, header.syntax, header.layout)
        elements = dict(header.dataset.items())
        with reading("The DICOM file is damaged."):
            from pydicom import Dataset

            for tag, place in said.own.items():
                element = _parsed(tag, data[slice(*place)], said.syntax)
                elements[element.tag] = element
            return replace(header, dataset=Dataset(elements), frames=frames, lossy=lossy or says_lossy(header.dataset))
    except MaskgateError:
        # Whatever is wrong with the file, who reads the whole of it says so.
        return None


def _parsed(tag: int, element: bytes, syntax: str) -> DataElement:
    """Return an element of a type that DICOM gives it.

    Raises:
        ValueError: it is of another, or not as its type may be.
    """
    from pydicom.dataelem import RawDataElement, convert_raw_data_element
    from pydicom.tag import BaseTag

    implicit, order = syntax == IMPLICIT, NATIVE.get(syntax, "<")
    if not implicit and element[4:6] != _OWN[tag]:
        raise ValueError("of another type")
    (length,) = unpack_from(f"{order}{'I' if implicit else '2xH'}", element, 4)
    value = element[8:]
    if length != len(value) or not value.isascii():
        raise ValueError("damaged")
    kind = _OWN[tag].decode()
    return convert_raw_data_element(RawDataElement(BaseTag(tag), kind, length, value, 0, implicit, order == "<"))


@cache
def _read_tags() -> frozenset[int]:
    from pydicom.datadict import tag_for_keyword

    tags = (tag_for_keyword(keyword) for keyword in dicom_tags.READ)
    return frozenset(int(tag) for tag in tags if tag is not None)
