"""Files as what they hold: structure and decoded content, never compressed bytes, which processors and zlibs choose."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from struct import iter_unpack, unpack
from typing import Any

import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

Described = dict[str, Any]

_CELLS = 4
_FEW = 16
# Of the inputs, whose study a DICOM SEG joins; any other date or time is that of the answer.
_STUDY = frozenset({"PatientBirthDate", "StudyDate", "StudyTime"})
_VERSIONS = frozenset({"SoftwareVersions", "ImplementationVersionName", "ImplementationClassUID"})
_STANDARD = "1.2.840.10008."


def described(data: bytes, uids: Mapping[str, str] | None = None) -> Described:
    """Return what a file is and holds; its first bytes say which format it has.

    Args:
        data: the file.
        uids: what a DICOM file may refer to: UID → what to call it.
    """
    if data.startswith(b"\x89PNG"):
        return {"png": png(data)}
    if data.startswith((b"II*\0", b"II+\0")):
        return {"tiff": tiff(data)}
    if data.startswith(b"PK"):
        return {"zip": archive(data)}
    if data.startswith(b"\x1f\x8b"):
        return {"nifti": nifti(gzip.decompress(data))}
    if data[128:132] == b"DICM":
        return {"dicom": dicom(data, uids or {})}
    if data.startswith(b"{"):
        return {"json": json.loads(data)}
    return {"bytes": len(data), "sha256": digest(data)}


def digest(data: bytes) -> str:
    """Return the first half of the SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()[:32]


def pixels(array: NDArray[Any], exact: bool = True) -> Described:
    """Return an array's content: its digest and, of few values, how often each is there.

    What was made in floating point differs by a level from processor to processor: of that the means of 4 × 4 cells.
    """
    shape = "×".join(map(str, array.shape))
    if not exact:
        height, width = array.shape[:2]
        cells = array[: height // _CELLS * _CELLS, : width // _CELLS * _CELLS].astype(np.float64)
        means = cells.reshape(_CELLS, height // _CELLS, _CELLS, width // _CELLS, -1).mean(axis=(1, 3))
        return {"shape": shape, "dtype": str(array.dtype), "about": means.round(1).tolist()}
    values, counts = np.unique(array, return_counts=True)
    counted = {"values": {str(v): int(n) for v, n in zip(values, counts, strict=True)}} if len(values) <= _FEW else {}
    return {
        "shape": shape,
        "dtype": str(array.dtype),
        "sha256": digest(np.ascontiguousarray(array).tobytes()),
    } | counted


def png(data: bytes, rows: int | None = None, exact: bool = True) -> Described:
    """Return a PNG's chunks, header, palette and pixels.

    Args:
        data: the file.
        rows: so many of the pixels from the top; what is below them is text, of which only its colours count.
        exact: as for `pixels`.
    """
    chunks: list[tuple[str, bytes]] = []
    at = 8
    while at < len(data):
        length, name = unpack(">I4s", data[at : at + 8])
        if not (chunks and chunks[-1][0] == "IDAT" and name == b"IDAT"):
            chunks.append((name.decode(), data[at + 8 : at + 8 + length]))
        at += 12 + length
    width, height, depth, colour, *rest = unpack(">IIBBBBB", dict(chunks)["IHDR"])
    array = np.asarray(Image.open(io.BytesIO(data)))
    found: Described = {
        "chunks": " ".join(name for name, _ in chunks),
        "header": {"width": width, "height": height, "depth": depth, "colour": colour, "methods": rest},
    }
    for name, body in chunks:
        if name == "PLTE":
            palette = [list(entry) for entry in iter_unpack("BBB", body)]
            found["palette"] = palette if len(palette) <= _FEW else {"entries": len(palette), "sha256": digest(body)}
        elif name not in ("IHDR", "IDAT", "IEND"):
            found[name] = body.hex()
    found["pixels"] = pixels(array[:rows], exact)
    if rows is not None:
        below = {tuple(colour) for colour in array[rows:].reshape(-1, 3).tolist()}
        pure = sorted(colour for colour in below if len(set(colour)) > 1 and max(colour) >= 200 and min(colour) < 16)
        found["legend"] = {"white": (255, 255, 255) in below, "colours": pure}
    return found


def tiff(data: bytes) -> Described:
    """Return a GeoTIFF's layout, place, tags and pixels, those of its overviews too."""
    with MemoryFile(data) as memory:
        with memory.open() as file:
            factors = file.overviews(1)
            found: Described = {
                "driver": file.driver,
                "byte order and kind": data[:4].hex(),
                "size": [file.width, file.height, file.count],
                "dtypes": list(file.dtypes),
                "crs": file.crs.to_string() if file.crs else None,
                "transform": list(file.transform)[:6],
                "nodata": file.nodata,
                "colours": [colour.name for colour in file.colorinterp],
                "colormap": _colours(file),
                "structure": file.tags(ns="IMAGE_STRUCTURE"),
                "compression": str(file.profile.get("compress")),
                "blocks": [list(shape) for shape in file.block_shapes],
                "tags": file.tags(),
                "band tags": file.tags(1),
                "overviews": factors,
                "pixels": pixels(file.read(1)),
                **{f"pixels of band {band}": pixels(file.read(band)) for band in range(2, file.count + 1)},
            }
        for level, factor in enumerate(factors):
            with memory.open(overview_level=level) as file:
                found[f"overview of {factor}"] = pixels(file.read(1))
    return found


def _colours(file: Any) -> Described:
    """Return the colours of the first band's values, those that are not black; images in colour have none."""
    if ColorInterp.palette not in file.colorinterp:
        return {}
    return {str(k): list(v) for k, v in file.colormap(1).items() if v != (0, 0, 0, 255)}


def nifti(data: bytes) -> Described:
    """Return the header of an unpacked NIfTI file, its affine and its voxels."""
    image = nibabel.Nifti1Image.from_bytes(data)
    header = {key: _scalar(image.header[key]) for key in image.header}
    return {
        "header": header,
        "extensions": len(image.header.extensions),
        "affine": [[float(v) for v in row] for row in image.affine],
        "voxels": pixels(np.asanyarray(image.dataobj)),
    }


def dicom(data: bytes, uids: Mapping[str, str]) -> Described:
    """Return all elements of a DICOM file by keyword, and its pixels."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    found = {"meta": _elements(dataset.file_meta, uids), "dataset": _elements(dataset, uids)}
    return found | {"pixels": pixels(dataset.pixel_array)}


def archive(data: bytes) -> Described:
    """Return a zip's members: how each is kept, and what it is."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return {
            info.filename: {"compression": info.compress_type} | described(opened.read(info))
            for info in opened.infolist()
        }


def _elements(dataset: pydicom.Dataset, uids: Mapping[str, str]) -> Described:
    return {
        f"{element.keyword or element.tag} {element.VR}": _value(element, uids)
        for element in dataset
        if element.keyword not in ("PixelData", "FileMetaInformationGroupLength")
    }


def _value(element: pydicom.DataElement, uids: Mapping[str, str]) -> Any:
    keyword, kind, value = element.keyword, element.VR, element.value
    if keyword in _VERSIONS:
        return "<version>"
    if kind == "SQ":
        return [_elements(item, uids) for item in value]
    if kind in ("DA", "TM", "DT") and keyword not in _STUDY:
        return "<now>" if value else value
    if kind == "UI":
        return str(value) if str(value).startswith(_STANDARD) else uids.get(str(value), "<new>")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | pydicom.multival.MultiValue):
        return [_plain(kind, part) for part in value]
    return _plain(kind, value)


def _plain(kind: str, value: Any) -> Any:
    if kind in ("DS", "FD", "FL"):
        return float(value)
    return int(value) if isinstance(value, int) else str(value)


def _scalar(value: NDArray[Any]) -> Any:
    plain = np.asarray(value).tolist()
    if isinstance(plain, bytes):
        return plain.decode("latin-1")
    if isinstance(plain, list):
        return [None if v != v else v for v in plain]
    return None if plain != plain else plain
