"""The HTTP contract of CT, without HTTP."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from os import PathLike
from pathlib import Path
from struct import unpack_from
from typing import Any, Literal, cast

import httpx

from maskgate_client.answers import Provenance, read_class, read_fields, take_files
from maskgate_client.call import JSON, Call, Part, Query, content, query
from maskgate_client.images import ImageInput, image_bytes
from maskgate_client.progress import Tell
from maskgate_client.tasks.ct.answers import (
    CtForm,
    CtInput,
    CtReport,
    CtSlice,
    Lesion,
    PacsSeries,
    SliceLesion,
    Spacing,
    StoredFile,
    StoredForm,
)

_MEDIA_TYPES: Mapping[CtForm, str] = {
    "label_map": "image/png",
    "overlay": "image/png",
    "nifti": "application/x-nifti",
    "nrrd": "application/x-nrrd",
    "dicom": "application/dicom",
}
_DICOM_HEAD, _DICOM_SIGNATURE = 128, b"DICM"
_FIRST_ELEMENT, _LONGEST_FIRST_VALUE = 8, 64
_FIRST_TYPES = (b"UL", b"OB", b"CS", b"UI")
_META_GROUP, _FIRST_OF_META = 2, (0, 1, 2)
_IDENTIFYING_GROUP, _FIRST_OF_IDENTITY = 8, (0, 1, 5, 8, 0x16, 0x18)
_FASTEST = 1
_PATH = "/v1/ct"


def ct(
    image: CtInput,
    *,
    model: str | None = None,
    version: int | None = None,
    include: Sequence[CtForm] = (),
    store: Sequence[StoredForm] = (),
    series: str | None = None,
    body_part: Literal["chest"] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    progress: Tell | None = None,
) -> Call[CtReport]:
    """Return the lesions of a CT in numbers, and the segmentations to `include`; it is not a diagnosis.

    A folder's DICOM files are sent as one zip, without their names; files that are none stay where they are, and
    `notices` say how many. `progress` is told of the bytes sent and then of the slices done: by `Client` from another
    thread, by `AsyncClient` on the event loop.

    Args:
        image: the CT.
        model: by default the task's own.
        version: by default the newest that is ready.
        include: forms of the segmentation that the report brings along.
        store: of a `PacsSeries`: what to store in its study.
        series: of several series the one to take, by SeriesInstanceUID or SeriesNumber.
        body_part: what a DICOM file shows, where it says otherwise or nothing.
        scale: Hounsfield units per value, of NIfTI and PNG of 16 bits.
        offset: Hounsfield units of the value 0, of the same.
        progress: is told how far it is.
    """
    params, files, left = _sent(image)
    params |= query(include=include, store=store, model=model, version=version)
    params |= query(series=series, body_part=body_part, scale=scale, offset=offset)

    def read(response: httpx.Response) -> CtReport:
        report = read_report(response)
        return replace(report, notices=(*report.notices, *left))

    return Call("POST", _PATH, JSON, read, params, files, progress=progress)


def ct_segmentation(
    image: CtInput,
    form: CtForm,
    *,
    model: str | None = None,
    version: int | None = None,
    progress: Tell | None = None,
) -> Call[bytes]:
    """Return the segmentation of a CT as a file: a PNG of a single slice, NIfTI, NRRD, or DICOM SEG of DICOM files.

    Raises:
        ValueError: a report is no file of its own: `ct` brings it along.
    """
    if form not in _MEDIA_TYPES:
        raise ValueError(f"{form} comes with a report of `ct`, not alone")
    params, files, _ = _sent(image)
    params |= query(overlay=True if form == "overlay" else None, model=model, version=version)
    return Call("POST", _PATH, _MEDIA_TYPES[form], content, params, files, progress=progress)


def ct_bytes(image: ImageInput) -> tuple[bytes, int]:
    """Return a CT as the bytes of one file, and how many files of a folder were left out as they are no DICOM.

    Of a folder the DICOM files are put into a zip without their names.

    Raises:
        OSError, ValueError, TypeError: as `image_bytes`, or the folder holds no DICOM file.
    """
    if isinstance(image, str | PathLike) and Path(image).is_dir():
        return _zipped(Path(image))
    return image_bytes(image), 0


def is_dicom(data: bytes) -> bool:
    """Return whether `data` begins like a DICOM file, one that lost its preamble or its meta information included.

    Such a file begins with an element of group 2 or 8, in explicit or implicit form (PS3.5, section 7.1).
    """
    if data[_DICOM_HEAD : _DICOM_HEAD + len(_DICOM_SIGNATURE)] == _DICOM_SIGNATURE:
        return True
    if len(data) < _FIRST_ELEMENT:
        return False
    order = ">" if data[0] == 0 else "<"
    group, element = unpack_from(f"{order}HH", data)
    explicit = data[4:6] in _FIRST_TYPES
    implicit = order == "<" and unpack_from("<I", data, 4)[0] <= _LONGEST_FIRST_VALUE
    if group == _META_GROUP:
        return explicit and element in _FIRST_OF_META
    return group == _IDENTIFYING_GROUP and element in _FIRST_OF_IDENTITY and (explicit or implicit)


def left_out(count: int) -> tuple[str, ...]:
    """Return what to tell of so many files of a folder that were not sent."""
    return (f"{count} files of the folder do not begin as DICOM does and were not sent",) if count else ()


def _sent(image: CtInput) -> tuple[Query, dict[str, Part] | None, tuple[str, ...]]:
    """Return the query and the parts that say which CT, and what to tell of files that were not sent."""
    if isinstance(image, PacsSeries):
        return query(source="dicomweb", study=image.study, series=image.series), None, ()
    data, left = ct_bytes(image)
    return {}, {"image": ("image", data, "application/octet-stream")}, left_out(left)


def _zipped(folder: Path) -> tuple[bytes, int]:
    archive, left = BytesIO(), 0
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST) as files:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            # Whatever else lies in the folder stays at home, as do the names: both may be of somebody.
            if is_dicom(data := path.read_bytes()):
                files.writestr(f"{len(files.namelist()):06d}", data)
            else:
                left += 1
        if not files.namelist():
            raise FileNotFoundError(errno.ENOENT, "there is no DICOM file in it", str(folder))
    return archive.getvalue(), left


def read_report(response: httpx.Response) -> CtReport:
    """Read the report of a CT."""
    document = response.json()
    spacing = document["spacing"]
    return CtReport(
        **{key: document[key] for key in ("model", "width", "height")},
        spacing=None if spacing is None else read_fields(Spacing, spacing),
        classes=tuple(read_class(entry) for entry in document["classes"]),
        lesions=tuple(read_fields(Lesion, entry) for entry in document["lesions"]),
        slices=tuple(_read_slice(entry) for entry in document["slices"]),
        notices=tuple(document["notices"]),
        provenance=read_fields(Provenance, document["provenance"]),
        files=cast("dict[CtForm, bytes]", take_files(document, "files")),
        document=document,
        stored=tuple(read_fields(StoredFile, entry) for entry in document.get("stored", ())),
    )


def _read_slice(entry: Mapping[str, Any]) -> CtSlice:
    lesions = tuple(read_fields(SliceLesion, each) for each in entry["lesions"])
    place = entry.get("position")
    return CtSlice(
        entry["number"], entry["imaged_pixels"], lesions, entry.get("instance"), None if place is None else tuple(place)
    )
