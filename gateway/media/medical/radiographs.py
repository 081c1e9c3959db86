"""Radiographs in DICOM files, as the grey picture a reader sees.

DICOM PS3.3 C.11.1 and C.11.2 (modality and value-of-interest transformations), C.7.6.3.1.2 (MONOCHROME1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gateway.errors import ImageUnreadable, ImageUnsuitable, ModalityUnsuitable
from gateway.media.medical.dicom import DicomHeader, read_header, require_chest
from gateway.media.medical.dicom_pixels import Values, stored_values
from gateway.media.medical.transfer_syntaxes import NATIVE
from gateway.media.pictures.images import ImageLimits
from gateway.media.quiet import reading
from gateway.vision.windowing import apply_linear_window

if TYPE_CHECKING:
    from pydicom import Dataset

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_MODALITIES = ("CR", "DX", "RG")


@dataclass(frozen=True)
class Film:
    """A radiograph.

    Attributes:
        pixels: uint8, (rows, columns), bone bright, after the file's own window.
        notices: what the caller should know.
    """

    pixels: UInt8 = field(repr=False)
    notices: tuple[str, ...]


def read_film_header(data: bytes, limits: ImageLimits) -> DicomHeader:
    """Judge a DICOM radiograph of the chest by its header alone; no pixel is decoded.

    Raises:
        ModalityUnsuitable: not computed, digital or digitised radiography.
        ImageUnsuitable: of several frames.
        BodyPartUnsuitable: the file says that it shows another part of the body than the chest.
        MaskgateError: whatever `read_header` and `limits` refuse.
    """
    header = read_header(data)
    layout = header.layout
    if header.modality not in _MODALITIES:
        raise ModalityUnsuitable("The DICOM file is not a radiograph (CR, DX or RG).")
    if layout.frames != 1:
        raise ImageUnsuitable("The DICOM file holds several frames; one radiograph is needed.")
    limits.check(layout.columns, layout.rows)
    require_chest(header.body_part)
    return header


def decode_film(header: DicomHeader, data: bytes) -> Film:
    """Return the picture of a DICOM radiograph.

    The first window or look-up table of the file is applied, as viewers do; a file without one is stretched from its
    lowest to its highest value.

    Args:
        header: what `read_film_header` made of `data`.
        data: the file.

    Raises:
        ImageUnreadable: its transformations are damaged.
        MaskgateError: whatever `stored_values` refuses.
    """
    stored = stored_values(header, data, 0)
    notices = [*require_chest(header.body_part)]
    if header.lossy:
        notices.append("the pixels were compressed with losses")
    with reading("The DICOM file's window or look-up table is damaged."):
        grey = _as_seen(stored, header)
        if not np.isfinite(grey).all():
            raise ImageUnreadable("The DICOM file's window makes no numbers of its values.")
    if "WindowCenter" not in header.dataset and not header.dataset.get("VOILUTSequence"):
        notices.append("the file has no window: stretched from its lowest to its highest value")
    pixels = np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)
    return Film(255 - pixels if header.layout.inverted else pixels, tuple(notices))


def _as_seen(stored: Values, header: DicomHeader) -> Float32:
    """Return stored values as 0–1 after the file's own transformations, MONOCHROME1 not yet inverted."""
    dataset = header.dataset
    values = stored.astype(np.float32)
    if dataset.get("ModalityLUTSequence"):
        values, _ = _looked_up(values, dataset.ModalityLUTSequence[0], header)
    elif "RescaleSlope" in dataset:
        values = values * np.float32(dataset.RescaleSlope) + np.float32(dataset.RescaleIntercept)
    if "WindowCenter" in dataset:
        return apply_linear_window(values, _first(dataset.WindowCenter), _first(dataset.WindowWidth))
    if dataset.get("VOILUTSequence"):
        seen, highest = _looked_up(values, dataset.VOILUTSequence[0], header)
        return seen / np.float32(highest)
    values -= values.min()
    return values / max(np.float32(values.max()), np.float32(1e-6))


def _looked_up(values: Float32, table: Dataset, header: DicomHeader) -> tuple[Float32, int]:
    """Return what a table makes of values, and the highest value that its entries may have (PS3.3 C.11.1.1.1)."""
    count, first, bits = (int(number) for number in table.LUTDescriptor)
    count = count or 1 << 16
    if header.layout.signed and first >= 1 << 15:  # its type is that of the pixels, which not every writer minds
        first -= 1 << 16
    entries = table.LUTData
    if isinstance(entries, bytes):
        order = NATIVE.get(header.syntax, "<")
        entries = np.frombuffer(entries, f"{order}u2" if len(entries) >= 2 * count else np.uint8)
    numbers = np.asarray(entries, np.float32)[:count]
    return numbers[np.clip(values - first, 0, len(numbers) - 1).astype(np.int64)], (1 << bits) - 1


def _first(value: float | Sequence[float]) -> float:
    """Return the first of the windows that a file offers."""
    return float(value[0] if isinstance(value, Sequence) else value)
