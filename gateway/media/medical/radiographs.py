"""Radiographs of every kind that is read here, told apart by their content, as the grey picture a reader sees.

DICOM PS3.3 C.11.1 and C.11.2 (modality and value-of-interest transformations), C.7.6.3.1.2 (MONOCHROME1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gateway.errors import ImageUnreadable, ImageUnsuitable, ModalityUnsuitable, UnsupportedMedia
from gateway.media.medical.body_part import BodyPart, body_part_of, require_chest
from gateway.media.medical.dicom import DicomHeader, read_header
from gateway.media.medical.dicom_ct import padding_range
from gateway.media.medical.dicom_pixels import Values, stored_values
from gateway.media.medical.transfer_syntaxes import NATIVE, as_plain_file, is_dicom
from gateway.media.pictures.grey import grey_values
from gateway.media.pictures.headers import JPEG_SIGNATURE, PNG_SIGNATURE, ImageInfo
from gateway.media.pictures.images import ImageLimits, decode, probe
from gateway.media.quiet import reading
from gateway.vision.windowing import WINDOW_FUNCTIONS, apply_window

if TYPE_CHECKING:
    from pydicom import Dataset

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_MODALITIES = ("CR", "DX", "RG")
_WORD = re.compile("[A-Z]+")
# View position (PS3.3 C.8.1.1, C.8.7.1) and what is written in its place.
_OTHER_VIEWS = frozenset(
    {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "RLO", "LLO", "LAO", "RAO", "LPO", "RPO", "OBLIQUE"}
)
_DECUBITUS = frozenset({"LLD", "RLD", "DECUB", "DECUBITUS"})
# Lateral and oblique views of CID 4010, in SNOMED CT and SNOMED RT.
_OTHER_VIEW_CODES = frozenset(
    {
        *("399067008", "399173006", "399198007", "399352003", "399260004", "30730003"),
        *("R-102CD", "R-10236", "R-10232", "R-10228", "R-10224", "G-A145"),
        *("399182000", "399236003", "399184004", "399356000", "399135007", "399038007", "399006002", "399312000"),
        *("399059000", "399368009", "399099002", "260426006", "260427002"),
        *("R-102C1", "R-10234", "R-10238", "R-40985", "R-10220", "R-10210", "R-10212", "R-10208", "R-10216", "R-10230"),
    }
)

# Larger than any detector's picture of 16 bits.
_LONGEST_DEFLATED = 1 << 28


@dataclass(frozen=True)
class Film:
    """A radiograph.

    Attributes:
        pixels: uint8, (rows, columns), bone bright, after the file's own window.
        notices: what the caller should know.
    """

    pixels: UInt8 = field(repr=False)
    notices: tuple[str, ...]


def read_film_header(data: bytes, limits: ImageLimits, stated: BodyPart | None = None) -> DicomHeader:
    """Judge a DICOM radiograph of the chest by its header alone; no pixel is decoded.

    Args:
        data: the file.
        limits: of its size.
        stated: which part of the body the caller says it shows.

    Raises:
        ModalityUnsuitable: not computed, digital or digitised radiography.
        ImageUnsuitable: of several frames, not frontal, or the detector's values before they were made a picture.
        BodyPartUnsuitable: the file says that it shows another part of the body than the chest.
        MaskgateError: whatever `read_header` and `limits` refuse.
    """

    def judge(dataset: Dataset) -> None:
        _require_radiograph(dataset)
        require_chest(body_part_of(dataset), stated)
        _require_frontal(dataset)

    header = read_header(data, judge=judge)
    layout = header.layout
    if layout.frames != 1:
        raise ImageUnsuitable("The DICOM file holds several frames; one radiograph is needed.")
    limits.check(layout.columns, layout.rows)
    return header


def decode_film(header: DicomHeader, data: bytes, stated: BodyPart | None = None) -> Film:
    """Return the picture of a DICOM radiograph.

    The first look-up table or window of the file is applied, as viewers do; a file without one is stretched from its
    lowest to its highest value. Padding takes no part in it and is black.

    Args:
        header: what `read_film_header` made of `data`.
        data: the file.
        stated: as of `read_film_header`.

    Raises:
        ImageUnreadable: its transformations are damaged.
        ImageUnsuitable: its window is one that the standard does not allow.
        MaskgateError: whatever `stored_values` refuses.
    """
    stored = stored_values(header, data, 0)
    notices = [*require_chest(header.body_part, stated)]
    if header.lossy:
        notices.append("the pixels were compressed with losses")
    with reading("The DICOM file's window or look-up table is damaged."):
        padding = padding_range(header)
        measured = np.ones(stored.shape, np.bool_) if padding is None else (stored < padding[0]) | (stored > padding[1])
        grey, stretched = _as_seen(stored, measured, header)
        if not np.isfinite(grey).all():
            raise ImageUnreadable("The DICOM file's window makes no numbers of its values.")
    if stretched:
        notices.append("the file has no window: stretched from its lowest to its highest value")
    if not measured.all():
        notices.append("padding around the picture was left out")
    pixels = np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)
    pixels = 255 - pixels if header.layout.inverted else pixels
    pixels[~measured] = 0
    return Film(pixels, tuple(notices))


def _require_radiograph(dataset: Dataset) -> None:
    """Refuse what is no radiograph, by what the file says.

    Raises:
        ModalityUnsuitable: of another modality.
    """
    if str(dataset.get("Modality", "")) not in _MODALITIES:
        raise ModalityUnsuitable("The DICOM file is not a radiograph (CR, DX or RG).")


def _require_frontal(dataset: Dataset) -> None:
    """Refuse what is no frontal view made to be looked at, by what the file says.

    Raises:
        ImageUnsuitable: a lateral or oblique view, or not made for presentation.
    """
    if str(dataset.get("PresentationIntentType") or "").upper() == "FOR PROCESSING":
        raise ImageUnsuitable(
            "The DICOM file holds the detector's values for processing; send the one for presentation."
        )
    codes = {str(code.get("CodeValue", "")) for code in dataset.get("ViewCodeSequence") or ()}
    view = str(dataset.get("ViewPosition") or "").upper()
    words = set(_WORD.findall(view))
    if not words.isdisjoint(_DECUBITUS):
        return
    if not codes.isdisjoint(_OTHER_VIEW_CODES) or not words.isdisjoint(_OTHER_VIEWS):
        raise ImageUnsuitable("The DICOM file is a lateral or oblique view; a frontal one is needed.")


def _as_seen(stored: Values, measured: npt.NDArray[np.bool_], header: DicomHeader) -> tuple[Float32, bool]:
    """Return stored values as 0–1 after the file's own transformations, and whether they had to be stretched.

    MONOCHROME1 is not yet inverted. Where a file has a look-up table and a window, the table is taken, as pydicom does.
    """
    dataset = header.dataset
    values = stored.astype(np.float32)
    if dataset.get("ModalityLUTSequence"):
        values, _ = _looked_up(values, dataset.ModalityLUTSequence[0], header)
    elif dataset.get("RescaleSlope") not in (None, ""):
        intercept = dataset.get("RescaleIntercept")
        values = values * np.float32(dataset.RescaleSlope) + np.float32(0 if intercept in (None, "") else intercept)
    if dataset.get("VOILUTSequence"):
        seen, highest = _looked_up(values, dataset.VOILUTSequence[0], header)
        return seen / np.float32(highest), False
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is not None and width is not None:
        function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
        if function not in WINDOW_FUNCTIONS or width <= 0 or (function == "LINEAR" and width < 1):
            raise ImageUnsuitable("The DICOM file's window is one that the standard does not allow.")
        return apply_window(values, centre, width, function), False
    inside = values[measured] if measured.any() else values
    lowest, highest_value = np.float32(inside.min()), np.float32(inside.max())
    return (values - lowest) / max(highest_value - lowest, np.float32(1e-6)), True


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


def _first(value: object) -> float | None:
    """Return the first of the numbers that a file offers; None where it leaves them empty."""
    numbers = [value] if not isinstance(value, Sequence) or isinstance(value, str) else list(value)
    given = [number for number in numbers if number not in (None, "")]
    return float(str(given[0])) if given else None


@dataclass(frozen=True)
class FilmFile:
    """A radiograph judged by its header, so that what decoding it takes is known before.

    Attributes:
        width: columns.
        height: rows.
        decode: returns the picture. Raises ImageUnreadable (damaged) and ColourUnsuitable (a photograph in colour).
    """

    width: int
    height: int
    decode: Callable[[], Film] = field(repr=False)


def open_film(data: bytes, limits: ImageLimits, stated: BodyPart | None = None) -> FilmFile:
    """Judge a radiograph of the chest by its header: DICOM, PNG or JPEG.

    Args:
        data: the file.
        limits: of its size.
        stated: which part of the body the caller says it shows, whatever a DICOM file says.

    Raises:
        ImageUnreadable: empty, or its header is damaged.
        UnsupportedMedia: none of these.
        MaskgateError: whatever `read_film_header` and `probe` refuse.
    """
    if not data:
        raise ImageUnreadable("The file is empty.")
    if is_dicom(data):
        data = as_plain_file(data, _LONGEST_DEFLATED)
        header = read_film_header(data, limits, stated)
        return FilmFile(header.layout.columns, header.layout.rows, partial(decode_film, header, data, stated))
    if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        info = probe(data, limits)
        return FilmFile(*info.size, partial(_decode_picture, data, info))
    raise UnsupportedMedia("Radiographs are read as DICOM, PNG or JPEG; this is none of them.")


def _decode_picture(data: bytes, info: ImageInfo) -> Film:
    image = decode(data, info)
    return Film(grey_values(image, "a radiograph"), image.notices)
