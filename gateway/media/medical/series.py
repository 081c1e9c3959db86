"""A CT series as a zip of DICOM files, ordered by where the slices lie and never by their names.

What comes from a hospital's archive is made a zip too, so errors say archive of both.

A zip may be a whole study as an archive exports it: scouts, dose reports, segmentations, viewer programs and further
series lie in it. What is no CT slice is passed over and counted; of several series the caller names one, or the only
axial one is taken.

Each file is unpacked twice: once to judge it, of uncompressed pixels no farther than these begin, when nothing but its
header is kept, and again when its slice is due.
So memory is that of the upload and one slice, however long the series.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from zipfile import ZipInfo

from gateway.errors import (
    ArchiveUnsuitable,
    ImageUnsuitable,
    MaskgateError,
    PixelsMissing,
    SeriesDuplicate,
    SeriesMixed,
    SeriesUnsuitable,
)
from gateway.media.medical.archives import Archive, ArchiveLimits, is_archive, open_archive
from gateway.media.medical.dicom import DicomHeader
from gateway.media.medical.dicom_ct import DicomVolume, SourceSlice, ct_frames, moved_frame, volume_of
from gateway.media.medical.series_files import (
    HEAD_BYTES,
    Judge,
    KnownHeaders,
    header_of,
    key_of,
    plain_file,
    says_axial,
    series_of,
)
from gateway.media.medical.series_headers import SeriesHeaders
from gateway.media.medical.slices import VolumeLimits
from gateway.media.medical.transfer_syntaxes import is_dicom

# Attribute → what its values are called where there are several.
_COMMON = {
    "PatientID": "patients",
    "PatientName": "patients",
    "PatientBirthDate": "patients",
    "StudyInstanceUID": "studies",
    "FrameOfReferenceUID": "frames of reference",
}


@dataclass(frozen=True)
class _File:
    """A CT slice of the archive: its header, and its number among the files, from 1."""

    number: int
    member: ZipInfo
    header: DicomHeader

    @property
    def series(self) -> str:
        return series_of(self.header)[0]


def read_series(
    data: bytes | memoryview,
    archive_limits: ArchiveLimits,
    limits: VolumeLimits,
    series: str | None = None,
    known: KnownHeaders | None = None,
) -> DicomVolume:
    """Read a zipped CT series.

    Args:
        data: the archive.
        archive_limits: what is unpacked.
        limits: of the volume.
        series: SeriesInstanceUID or SeriesNumber of the one to take; None: the only one, or the only axial one.
        known: headers of this archive that are read already; it takes in those that are read here.

    Raises:
        ArchiveUnsuitable, ArchiveTooLarge: the zip is one that is not unpacked, or holds no image.
        ModalityUnsuitable: it holds images, and none is a CT slice.
        SeriesMixed: of several patients, studies, series, sizes, orientations or spacings; the error lists the series.
        SeriesDuplicate: two slices lie in one place.
        SeriesGap: a slice is missing.
        MaskgateError: whatever is refused of a single file; its number in the archive is told.
    """
    archive = open_archive(data, archive_limits)
    files, passed = _slices(archive, archive_limits.member_bytes, {} if known is None else known)
    taken = _chosen(files, series)
    passed["of another series"] = len(files) - len(taken)
    taken, passed["there twice"] = _without_copies(taken)
    sources: list[SourceSlice] = []
    last: SourceSlice | None = None
    for file in taken:
        with _naming(file.number, len(archive.members)):
            if file.header.layout.frames != 1:
                raise SeriesUnsuitable("The archive holds a multi-frame file; send that file by itself.")
            frame = moved_frame(last.frame, file.header) if last and last.header.kin is file.header.kin else None
            if frame is None:
                _check_same(taken[0].header, file.header)
                (frame,) = ct_frames(file.header)
            limits.check(file.header.layout.rows, file.header.layout.columns, len(sources) + 1)
            load = partial(plain_file, archive, file.member, archive_limits.member_bytes)
            last = SourceSlice(file.header, frame, load)
            sources.append(last)
    volume = volume_of(sources)
    said = [f"{count} files {reason} were passed over" for reason, count in passed.items() if count]
    return DicomVolume(volume.sources, (*volume.notices, *said))


def _slices(archive: Archive, most: int, known: KnownHeaders) -> tuple[list[_File], Counter[str]]:
    """Return the CT slices of an archive, and how many files of which kind are none.

    Raises:
        ModalityUnsuitable: there are images of other kinds alone.
        ArchiveUnsuitable: there is no image.
        MaskgateError: a slice is damaged.
    """
    files: list[_File] = []
    headers = SeriesHeaders()
    passed: Counter[str] = Counter()
    refusal: MaskgateError | None = None
    for number, member in enumerate(archive.members, start=1):
        key = key_of(member)
        if key in known:
            files.append(_File(number, member, known[key]))
            continue
        if not is_dicom(head := archive.head(member, HEAD_BYTES[0])):
            passed["without an image"] += 1
            if is_archive(head):
                refusal = refusal or ArchiveUnsuitable(
                    "The archive holds an archive and no DICOM image; DICOM files are to lie in it as they are."
                )
            continue
        judge = Judge()
        try:
            with _naming(number, len(archive.members)):
                header = known.setdefault(key, header_of(archive, member, headers, most, judge))
            files.append(_File(number, member, header))
        except PixelsMissing:
            passed["without an image"] += 1
        except ImageUnsuitable as error:
            if judge.other is None:
                raise
            passed[judge.other] += 1
            refusal = refusal or error
    if files:
        return files, passed
    raise refusal or ArchiveUnsuitable("The archive holds no DICOM image.")


@contextmanager
def _naming(number: int, files: int) -> Iterator[None]:
    """Say in an error raised inside which file of the archive is at fault; its name may be a patient's."""
    try:
        yield
    except MaskgateError as error:
        error.detail = f"{error.detail.removesuffix('.')} (file {number} of {files} in the archive)."
        error.args = (error.detail,)
        raise


def _chosen(files: Sequence[_File], asked: str | None) -> list[_File]:
    """Return the files of the series that is asked for, or of the only one that can be meant.

    Raises:
        SeriesMixed: there is none of that name, or several could be meant.
    """
    by_series: dict[str, list[_File]] = {}
    for file in files:
        by_series.setdefault(file.series, []).append(file)
    if asked is not None:
        named = [
            some
            for uid, some in by_series.items()
            if asked in (uid, str(some[0].header.dataset.get("SeriesNumber", "")))
        ]
        if len(named) == 1:
            return named[0]
        raise SeriesMixed(
            "The archive holds no series of that identifier or number, or several of that number.",
            members={"series": _listed(by_series.values())},
        )
    if len(by_series) == 1:
        return list(files)
    axial = [some for some in by_series.values() if says_axial(some[0].header) and len(some) > 1]
    if len(axial) == 1:
        return axial[0]
    raise SeriesMixed(
        f"The archive holds {len(by_series)} series of CT slices; name one by series=.",
        members={"series": _listed(by_series.values())},
    )


def _listed(found: Iterable[list[_File]]) -> list[dict[str, object]]:
    """Return what tells series apart: numbers alone, as a tag may hold anything where a file is damaged."""
    return [
        {
            "series": _matching(r"[0-9.]{1,64}", some[0].series),
            "number": _matching(r"-?[0-9]{1,10}", series_of(some[0].header)[1]),
            "slices": len(some),
            "thickness_mm": _matching(r"[0-9.]{1,16}", some[0].header.dataset.get("SliceThickness", "")),
            "axial": says_axial(some[0].header),
        }
        for some in found
    ]


def _matching(pattern: str, value: object) -> str | None:
    """Return a value as text where it is what its tag may hold."""
    return str(value) if re.fullmatch(pattern, str(value)) else None


def _without_copies(files: Sequence[_File]) -> tuple[list[_File], int]:
    """Return files of different content, and how many copies were left out.

    Raises:
        SeriesDuplicate: two of one identifier are not the same.
    """
    kept: dict[str, _File] = {}
    copies = 0
    for file in files:
        uid = str(file.header.dataset.get("SOPInstanceUID", "")) or f"file {file.number}"
        first = kept.setdefault(uid, file)
        if first is file:
            continue
        if (first.member.CRC, first.member.file_size) != (file.member.CRC, file.member.file_size):
            raise SeriesDuplicate(
                f"The archive holds a slice twice, and not alike: its files {first.number} and {file.number}."
            )
        copies += 1
    return list(kept.values()), copies


def _check_same(first: DicomHeader, other: DicomHeader) -> None:
    """Refuse a file that is not of the first one's patient and study; the values that differ are not told.

    What one of them leaves empty is no contradiction, nor are the carets and blanks that end a name.
    """
    for keyword, name in _COMMON.items():
        values = {str(header.dataset.get(keyword, "") or "").strip(" ^") for header in (first, other)} - {""}
        if len(values) > 1:
            raise SeriesMixed(f"The files are of several {name}.")
    if (first.layout.rows, first.layout.columns) != (other.layout.rows, other.layout.columns):
        raise SeriesMixed("The slices are of several sizes.")
