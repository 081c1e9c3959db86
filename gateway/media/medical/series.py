"""A CT series as a zip of DICOM files, ordered by where the slices lie and never by their names.

Each file is unpacked twice: once to judge it, of uncompressed pixels no farther than these begin, when nothing but its
header is kept, and again when its slice is due.
So memory is that of the upload and one slice, however long the series.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from zipfile import ZipInfo

from gateway.errors import (
    ArchiveUnsuitable,
    MaskgateError,
    PixelsMissing,
    SeriesDuplicate,
    SeriesMixed,
    SeriesUnsuitable,
)
from gateway.media.medical.archives import Archive, ArchiveLimits, open_archive
from gateway.media.medical.dicom import DicomHeader, read_header
from gateway.media.medical.dicom_ct import DicomVolume, SourceSlice, ct_frames, volume_of
from gateway.media.medical.slices import VolumeLimits
from gateway.media.medical.transfer_syntaxes import NATIVE, is_dicom, transfer_syntax

# More than headers of CT are long; of a longer one the whole file is read.
_HEAD_BYTES = 1 << 16

# Attribute → what its values are called where there are several.
_COMMON = {
    "PatientID": "patients",
    "PatientName": "patients",
    "PatientBirthDate": "patients",
    "StudyInstanceUID": "studies",
    "SeriesInstanceUID": "series",
    "FrameOfReferenceUID": "frames of reference",
    "Modality": "modalities",
}


def read_series(data: bytes, archive_limits: ArchiveLimits, limits: VolumeLimits) -> DicomVolume:
    """Read a zipped CT series.

    Files that are not DICOM, and DICOM files without pixels such as reports, are passed over and counted in a notice.

    Raises:
        ArchiveUnsuitable, ArchiveTooLarge: the zip is one that is not unpacked, or holds no image.
        SeriesMixed: of several patients, studies, series, sizes, orientations or spacings.
        SeriesDuplicate: a slice is there twice.
        SeriesGap: a slice is missing.
        MaskgateError: whatever is refused of a single file.
    """
    archive = open_archive(data, archive_limits)
    sources: list[SourceSlice] = []
    passed_over = 0
    for member in archive.members:
        if not is_dicom(head := archive.head(member, _HEAD_BYTES)):
            passed_over += 1
            continue
        try:
            header = _header(archive, member, head)
        except PixelsMissing:
            passed_over += 1
            continue
        if header.layout.frames != 1:
            raise SeriesUnsuitable("The zip archive holds a multi-frame file; send that file by itself.")
        if sources:
            _check_same(sources[0].header, header)
        limits.check(header.layout.rows, header.layout.columns, len(sources) + 1)
        sources += [SourceSlice(header, frame, partial(archive.read, member)) for frame in ct_frames(header)]
    if not sources:
        raise ArchiveUnsuitable("The zip archive holds no DICOM image.")
    identifiers = {str(source.header.dataset.get("SOPInstanceUID", number)) for number, source in enumerate(sources)}
    if len(identifiers) < len(sources):
        raise SeriesDuplicate("The zip archive holds a slice twice.")
    volume = volume_of(sources)
    if not passed_over:
        return volume
    return DicomVolume(volume.sources, (*volume.notices, f"{passed_over} files without an image were passed over"))


def _header(archive: Archive, member: ZipInfo, head: bytes) -> DicomHeader:
    """Return the header of a member that begins with `head`.

    Uncompressed pixels are not unpacked for it: half of the time that a series takes before its first slice. Whatever
    is wrong with the head, the whole file says what.
    """
    with suppress(MaskgateError):
        if transfer_syntax(head) in NATIVE:
            return read_header(head, member.file_size)
    return read_header(archive.read(member))


def _check_same(first: DicomHeader, other: DicomHeader) -> None:
    """Refuse a file that is not of the first one's series; the values that differ are not told."""
    for keyword, name in _COMMON.items():
        if str(first.dataset.get(keyword, "")) != str(other.dataset.get(keyword, "")):
            raise SeriesMixed(f"The files are of several {name}.")
    if (first.layout.rows, first.layout.columns) != (other.layout.rows, other.layout.columns):
        raise SeriesMixed("The slices are of several sizes.")
