"""The files of a zipped CT series, one at a time: which are CT slices, and what their headers say.

Whoever reads a series asks for a header by what the archive says of its file, so that one that was read before, while
the archive still arrived, is the same object and costs nothing.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING
from zipfile import ZipInfo

import numpy as np

from gateway.errors import ImageUnsuitable, MaskgateError, ModalityUnsuitable
from gateway.media.medical.archives import Archive
from gateway.media.medical.dicom import DicomHeader
from gateway.media.medical.hounsfield_rules import is_scout, require_ct
from gateway.media.medical.series_headers import SeriesHeaders
from gateway.media.medical.slice_geometry import is_axial
from gateway.media.medical.transfer_syntaxes import NATIVE, as_plain_file, transfer_syntax

if TYPE_CHECKING:
    from pydicom import Dataset

HEAD_BYTES = (1 << 12, 1 << 16)
"""So much is unpacked to find the header: few are longer than the first, and of one longer than the last the whole file
is read."""

FileKey = tuple[int, int, int, int, int]
KnownHeaders = MutableMapping[FileKey, DicomHeader]
"""Headers of CT slices by `key_of` their files."""


def key_of(member: ZipInfo, offset: int = 0) -> FileKey:
    """Return what tells a file of an archive from all others: where it lies, how it is packed, and its checksum.

    Args:
        member: the file.
        offset: of the bytes that `member` is counted in, in the archive.
    """
    at = member.header_offset + offset
    return at, member.compress_type, member.CRC, member.compress_size, member.file_size


class Judge:
    """Tells what is no CT slice before anything else of a file is judged.

    Attributes:
        other: what the file is instead; None: a slice, or not judged yet.
    """

    def __init__(self) -> None:
        """Have judged nothing."""
        self.other: str | None = None

    def __call__(self, dataset: Dataset) -> None:
        """Judge the tags of a file.

        Raises:
            ModalityUnsuitable, ImageUnsuitable: it is no slice.
        """
        try:
            require_ct(dataset)
        except ModalityUnsuitable:
            self.other = "of another kind than CT"
            raise
        except ImageUnsuitable:
            self.other = "that are scout views" if is_scout(dataset) else None
            raise


def header_of(archive: Archive, member: ZipInfo, headers: SeriesHeaders, most: int, judge: Judge) -> DicomHeader:
    """Return the header of a member.

    Uncompressed pixels are not unpacked for it: half of the time that a series takes before its first slice. Whatever
    is wrong with the head, the whole file says what.

    Args:
        archive: it lies in.
        member: the file.
        headers: of the files before it.
        most: bytes that a deflated dataset may inflate to.
        judge: is given the tags.

    Raises:
        MaskgateError: as `SeriesHeaders.read`, `Archive.read` and `as_plain_file`.
    """
    for size in HEAD_BYTES:
        with suppress(MaskgateError):
            head = archive.head(member, size)
            plain = as_plain_file(head, most)
            if transfer_syntax(plain) not in NATIVE:
                break
            if len(plain) < len(head) + HEAD_BYTES[-1]:
                return headers.read(plain, member.file_size + len(plain) - len(head), judge)
    return headers.read(plain_file(archive, member, most), judge=judge)


def plain_file(archive: Archive, member: ZipInfo, most: int) -> bytes:
    """Return the bytes of a member as `as_plain_file` does.

    Raises:
        MaskgateError: as `Archive.read` and `as_plain_file`.
    """
    return as_plain_file(archive.read(member), most)


def series_of(header: DicomHeader) -> tuple[str, str]:
    """Return what names the series of a file: SeriesInstanceUID and SeriesNumber, each empty where it is not said."""
    return str(header.dataset.get("SeriesInstanceUID", "")), str(header.dataset.get("SeriesNumber", ""))


def says_axial(header: DicomHeader) -> bool:
    """Return whether a slice is axial, as far as its file says."""
    try:
        cosines = np.asarray(header.dataset.get("ImageOrientationPatient"), np.float64)
        return cosines.shape == (6,) and is_axial(np.cross(cosines[:3], cosines[3:]))
    except (TypeError, ValueError):
        return False
