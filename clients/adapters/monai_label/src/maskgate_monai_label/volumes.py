"""Label volumes and slices: NRRD as the plug-ins read it, pictures of slices, masks put into a volume."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from typing import Any

import nibabel
import nrrd
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from PIL import Image

from maskgate_monai_label.services import WINDOW, Refused, Series

UInt8 = npt.NDArray[np.uint8]
Point = Sequence[float]

_GZIPPED, _RAW = b"encoding: gzip\n", b"encoding: raw\n"
# Of the longer side of a slice, around clicks without a box.
_MARGIN = 1 / 12


def uncompressed(content: bytes) -> bytes:
    """Return a gzipped NRRD with its voxels as they are, which viewers in a browser ask for."""
    head, separator, voxels = content.partition(b"\n\n")
    head += b"\n"
    if _GZIPPED not in head:
        return content
    return head.replace(_GZIPPED, _RAW) + separator[1:] + gzip.decompress(voxels)


class Nifti:
    """A NIfTI volume as 3D Slicer sends it, whose indices are those of its points."""

    def __init__(self, content: bytes) -> None:
        """Read the header.

        Raises:
            Refused: it is none, or of more than three dimensions.
        """
        try:
            plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            self._image: Any = nibabel.Nifti1Image.from_bytes(plain)
        except (ImageFileError, OSError, EOFError, ValueError) as error:
            raise Refused(415, "Points are taken on volumes in NIfTI.") from error
        self.shape: tuple[int, ...] = self._image.shape
        if len(self.shape) != 3:
            raise Refused(422, "Points are taken on volumes of three dimensions.")

    def picture(self, number: int) -> bytes:
        """Return a slice as a grey PNG through `WINDOW`, its first index to the right and its second down."""
        low, high = WINDOW
        values = np.asarray(self._image.dataobj[:, :, number], np.float64).T
        shown = np.clip(np.nan_to_num(values - low, nan=0.0) * (255 / (high - low)), 0, 255)
        file = io.BytesIO()
        Image.fromarray(np.rint(shown).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    def with_mask(self, mask: bytes, number: int) -> bytes:
        """Return a label volume, as NRRD, with a mask in one slice."""
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ self._image.affine
        return _volume(self.shape, affine[:3, :3].T, affine[:3, 3], mask, number)


def with_mask(series: Series, mask: bytes, number: int) -> bytes:
    """Return a label volume of a series, as NRRD, with a mask in one slice."""
    return _volume(series.shape, np.array(series.directions), np.array(series.origin), mask, number)


def prompt_of(params: dict[str, Any], columns: int, rows: int) -> tuple[str, int]:
    """Return the gateway's prompt, as JSON, for points [i, j, k] of one slice, and which slice that is.

    Clicks without a box get one around them: models that take clicks take them in a box.

    Raises:
        Refused: there is no point.
    """
    positive, negative = (list(params.get(name) or ()) for name in ("foreground", "background"))
    if not positive:
        raise Refused(422, "A point on the object is needed.")
    number = params.get("slice")
    number = int(positive[-1][2] if number is None else number)
    on_slice = [[point[:2] for point in points if round(point[2]) == number] for points in (positive, negative)]
    if not on_slice[0]:
        raise Refused(422, "A point on the object is needed in the slice.")
    roi = params.get("roi") or ()
    box = [*roi[0:4:2], *roi[1:4:2]] if len(roi) >= 4 else _around(on_slice[0], columns, rows)
    return json.dumps({"box": box, "positive": on_slice[0], "negative": on_slice[1]}), number


def _around(points: Sequence[Point], columns: int, rows: int) -> list[float]:
    margin = _MARGIN * max(columns, rows)
    across, down = zip(*points, strict=True)
    left, top = max(0.0, min(across) - margin), max(0.0, min(down) - margin)
    return [left, top, min(columns - 1.0, max(across) + margin), min(rows - 1.0, max(down) + margin)]


def _volume(
    shape: Sequence[int],
    directions: npt.NDArray[np.float64],
    origin: npt.NDArray[np.float64],
    mask: bytes,
    number: int,
) -> bytes:
    found = np.asarray(Image.open(io.BytesIO(mask))) > 0
    labels = np.zeros(shape, np.uint8, order="F")
    labels[:, :, number] = found.T
    header = {
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": origin,
        "kinds": ["domain"] * 3,
        "encoding": "raw",
    }
    file = io.BytesIO()
    nrrd.write(file, labels, header)
    return file.getvalue()
