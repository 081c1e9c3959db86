"""The HTTP contract of CT, without HTTP."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, cast

import httpx

from maskgate_client.answers import Provenance, read_class, read_fields, take_files
from maskgate_client.call import JSON, Call, Part, content, query
from maskgate_client.images import image_bytes
from maskgate_client.progress import Tell
from maskgate_client.tasks.ct.answers import CtForm, CtInput, CtReport, CtSlice, Lesion, SliceLesion, Spacing

_MEDIA_TYPES: Mapping[CtForm, str] = {
    "label_map": "image/png",
    "overlay": "image/png",
    "nifti": "application/x-nifti",
    "dicom": "application/dicom",
}
_DICOM_HEAD, _DICOM_SIGNATURE = 128, b"DICM"
_FASTEST = 1
_PATH = "/v1/ct"


def ct(
    image: CtInput,
    *,
    model: str | None = None,
    version: int | None = None,
    include: Sequence[CtForm] = (),
    progress: Tell | None = None,
) -> Call[CtReport]:
    """Return the lesions of a CT in numbers, and the segmentations to `include`; it is not a diagnosis.

    A folder's DICOM files are sent as one series, without their names. `progress` is told of the bytes sent and
    then of the slices done: by `Client` from another thread, by `AsyncClient` on the event loop.
    """
    params = query(include=include, model=model, version=version)
    return Call("POST", _PATH, JSON, _read_report, params, _part(image), progress=progress)


def ct_segmentation(
    image: CtInput,
    form: CtForm,
    *,
    model: str | None = None,
    version: int | None = None,
    progress: Tell | None = None,
) -> Call[bytes]:
    """Return the segmentation of a CT as a file: a PNG of a single slice, NIfTI, or DICOM SEG of DICOM files."""
    params = query(overlay=True if form == "overlay" else None, model=model, version=version)
    return Call("POST", _PATH, _MEDIA_TYPES[form], content, params, _part(image), progress=progress)


def ct_bytes(image: CtInput) -> bytes:
    """Return a CT as the bytes of one file; of a folder, its DICOM files as a zip without their names.

    Raises:
        OSError, ValueError, TypeError: as `image_bytes`, or the folder holds no DICOM file.
    """
    if isinstance(image, str | PathLike) and Path(image).is_dir():
        return _zipped(Path(image))
    return image_bytes(image)


def is_dicom(data: bytes) -> bool:
    """Return whether `data` begins like a DICOM file."""
    return data[_DICOM_HEAD : _DICOM_HEAD + len(_DICOM_SIGNATURE)] == _DICOM_SIGNATURE


def _part(image: CtInput) -> dict[str, Part]:
    return {"image": ("image", ct_bytes(image), "application/octet-stream")}


def _zipped(folder: Path) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST) as files:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            # Whatever else lies in the folder stays at home, as do the names: both may be of somebody.
            if is_dicom(data := path.read_bytes()):
                files.writestr(f"{len(files.namelist()):06d}", data)
        if not files.namelist():
            raise FileNotFoundError(errno.ENOENT, "there is no DICOM file in it", str(folder))
    return archive.getvalue()


def _read_report(response: httpx.Response) -> CtReport:
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
    )


def _read_slice(entry: Mapping[str, Any]) -> CtSlice:
    lesions = tuple(read_fields(SliceLesion, each) for each in entry["lesions"])
    return CtSlice(entry["number"], entry["imaged_pixels"], lesions)
