"""The HTTP contract of CT, without HTTP."""

from __future__ import annotations

import errno
import zipfile
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import httpx

from maskgate_client.answers import Provenance
from maskgate_client.cts import CtForm, CtInput, CtReport, CtSlice, Lesion, SliceLesion, Spacing
from maskgate_client.progress import Tell
from maskgate_client.protocol import Call, chosen, included, read_class

T = TypeVar("T")

_MEDIA_TYPES: Mapping[CtForm, str] = {
    "label_map": "image/png",
    "overlay": "image/png",
    "nifti": "application/x-nifti",
    "dicom": "application/dicom",
}
_DICOM_HEAD, _DICOM_SIGNATURE = 128, b"DICM"
_FASTEST = 1


def report(
    image: CtInput, model: str | None, version: int | None, include: Sequence[CtForm], progress: Tell | None
) -> Call[CtReport]:
    """Ask for the lesions of a CT in numbers, and for segmentations in the same answer."""
    return _ct(image, model, version, progress, "application/json", _read_report, included(include))


def segmentation(
    image: CtInput, form: CtForm, model: str | None, version: int | None, progress: Tell | None
) -> Call[bytes]:
    """Ask for the segmentation of a CT as a file."""
    params = {"overlay": "true"} if form == "overlay" else {}
    return _ct(image, model, version, progress, _MEDIA_TYPES[form], lambda response: response.content, params)


def ct_bytes(image: CtInput) -> bytes:
    """Return a CT as the bytes of one file; of a folder, its DICOM files as a zip without their names.

    Raises:
        OSError: a file cannot be read, or the folder holds no DICOM file.
    """
    if isinstance(image, bytes):
        return image
    path = Path(image)
    return _zipped(path) if path.is_dir() else path.read_bytes()


def is_dicom(data: bytes) -> bool:
    """Return whether `data` begins like a DICOM file."""
    return data[_DICOM_HEAD : _DICOM_HEAD + len(_DICOM_SIGNATURE)] == _DICOM_SIGNATURE


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


def _ct(
    image: CtInput,
    model: str | None,
    version: int | None,
    progress: Tell | None,
    accept: str,
    read: Callable[[httpx.Response], T],
    params: Mapping[str, str | Sequence[str]],
) -> Call[T]:
    files = {"image": ("image", ct_bytes(image), "application/octet-stream")}
    return Call("POST", "/v1/ct", accept, read, {**params, **chosen(model, version)}, files, progress=progress)


def _read_report(response: httpx.Response) -> CtReport:
    document = response.json()
    spacing = document["spacing"]
    return CtReport(
        model=document["model"],
        width=document["width"],
        height=document["height"],
        spacing=None if spacing is None else Spacing(spacing["rows"], spacing["columns"], spacing["slices"]),
        classes=tuple(read_class(entry) for entry in document["classes"]),
        lesions=tuple(_read_lesion(entry) for entry in document["lesions"]),
        slices=tuple(_read_slice(entry) for entry in document["slices"]),
        notices=tuple(document["notices"]),
        provenance=Provenance(**{key: document["provenance"][key] for key in Provenance.__dataclass_fields__}),
        files={name: b64decode(data, validate=True) for name, data in document.pop("files", {}).items()},
        document=document,
    )


def _read_lesion(entry: dict[str, Any]) -> Lesion:
    return Lesion(entry["value"], entry["name"], entry["voxels"], entry["imaged_share"], entry["volume_ml"])


def _read_slice(entry: dict[str, Any]) -> CtSlice:
    lesions = (SliceLesion(e["value"], e["pixels"], e["imaged_share"], e["area_mm2"]) for e in entry["lesions"])
    return CtSlice(entry["number"], entry["imaged_pixels"], tuple(lesions))
