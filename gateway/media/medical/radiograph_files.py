"""Radiographs of every kind that is read here, told apart by their content and never by a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gateway.errors import ImageUnreadable, UnsupportedMedia
from gateway.media.medical.body_part import BodyPart
from gateway.media.medical.radiographs import Film, decode_film, read_film_header
from gateway.media.medical.transfer_syntaxes import as_plain_file, is_dicom
from gateway.media.pictures.grey import grey_values
from gateway.media.pictures.headers import JPEG_SIGNATURE, PNG_SIGNATURE, ImageInfo
from gateway.media.pictures.images import ImageLimits, decode, probe

# Larger than any detector's picture of 16 bits.
_LONGEST_DEFLATED = 1 << 28


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
