"""Radiographs of every kind that is read here, told apart by their content and never by a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gateway.errors import ImageUnreadable, UnsupportedMedia
from gateway.media.medical.radiographs import Film, decode_film, read_film_header
from gateway.media.medical.transfer_syntaxes import is_dicom
from gateway.media.pictures.grey import grey_values
from gateway.media.pictures.headers import JPEG_SIGNATURE, PNG_SIGNATURE, ImageInfo
from gateway.media.pictures.images import ImageLimits, decode, probe


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


def open_film(data: bytes, limits: ImageLimits) -> FilmFile:
    """Judge a radiograph of the chest by its header: DICOM, PNG or JPEG.

    Raises:
        ImageUnreadable: empty, or its header is damaged.
        UnsupportedMedia: none of these.
        MaskgateError: whatever `read_film_header` and `probe` refuse.
    """
    if not data:
        raise ImageUnreadable("The file is empty.")
    if is_dicom(data):
        header = read_film_header(data, limits)
        return FilmFile(header.layout.columns, header.layout.rows, partial(decode_film, header, data))
    if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        info = probe(data, limits)
        return FilmFile(*info.size, partial(_decode_picture, data, info))
    raise UnsupportedMedia("Radiographs are read as DICOM, PNG or JPEG; this is none of them.")


def _decode_picture(data: bytes, info: ImageInfo) -> Film:
    image = decode(data, info)
    return Film(grey_values(image, "a radiograph"), image.notices)
