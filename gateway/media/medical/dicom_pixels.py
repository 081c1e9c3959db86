"""Frames of a DICOM file, decoded one at a time to the values as they were stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.errors import CompressionUnsupported, ImageUnreadable
from gateway.media.medical.codestreams import (
    RLE_HEADER_BYTES,
    Declared,
    declared_by_jpeg,
    declared_by_jpeg2000,
    declared_by_rle,
)
from gateway.media.medical.dicom import DicomHeader, Layout
from gateway.media.medical.transfer_syntaxes import DECODERS, HTJ2K, JPEG_2000, JPEG_EXTENDED, NATIVE, RLE
from gateway.media.quiet import reading

Values = npt.NDArray[Any]

_UNDECODABLE = "The DICOM file's pixels are cut short or damaged."


def stored_values(header: DicomHeader, data: bytes, frame: int) -> Values:
    """Return the values of a frame as stored, before any rescaling.

    Args:
        header: what `read_header` made of `data`.
        data: the file.
        frame: number of the frame, from 0.

    Returns:
        an array of 8, 16 or 32 bits, signed or not, (rows, columns).

    Raises:
        ImageUnreadable: the compressed pixels are damaged, or of another size than the header's.
        CompressionUnsupported: of a kind of its transfer syntax that no decoder here knows.
    """
    ranges = header.frames[frame]
    layout = header.layout
    if header.syntax in NATIVE:
        ((start, stop),) = ranges
        dtype = np.dtype(f"{NATIVE[header.syntax]}{'i' if layout.signed else 'u'}{layout.allocated // 8}")
        stored = np.frombuffer(data, dtype, (stop - start) // dtype.itemsize, start)
        return _significant(stored.reshape(layout.rows, layout.columns), layout)
    view = memoryview(data)
    compressed = view[slice(*ranges[0])] if len(ranges) == 1 else memoryview(b"".join(view[slice(*r)] for r in ranges))
    _check_declared(header, compressed)
    return _decompressed(header, bytes(compressed))


def _significant(stored: Values, layout: Layout) -> Values:
    """Return the values without the bits that are not theirs, such as old overlays, and with their sign."""
    if layout.stored == layout.allocated:
        return stored
    left = layout.allocated - 1 - layout.high
    return (stored << left) >> (layout.allocated - layout.stored)


def _check_declared(header: DicomHeader, compressed: memoryview) -> None:
    """Refuse a frame that says it is of another size than the header says."""
    layout = header.layout
    if header.syntax == RLE:
        size = layout.rows * layout.columns * layout.allocated // 8
        # The worst of encoders, one count per byte, doubles them; the decoder would inflate any length.
        if declared_by_rle(compressed) != layout.allocated // 8 or len(compressed) > RLE_HEADER_BYTES + 2 * size:
            raise ImageUnreadable("The compressed pixels are not of as many bytes as the DICOM header says.")
        return
    read = declared_by_jpeg2000 if header.syntax in (*JPEG_2000, *HTJ2K) else declared_by_jpeg
    declared = read(compressed)
    if declared != Declared(layout.columns, layout.rows, 1, declared.bits) or declared.bits > layout.allocated:
        raise ImageUnreadable("The compressed pixels are of another size than the DICOM header says.")
    if header.syntax == JPEG_EXTENDED and declared.bits != 8:
        raise CompressionUnsupported("The DICOM file is JPEG of 12 bits with losses, which is not decoded here.")


def _decompressed(header: DicomHeader, compressed: bytes) -> Values:
    layout = header.layout
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
    }
    with reading(_UNDECODABLE):
        from pydicom.encaps import encapsulate
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        decoder = get_decoder(UID(header.syntax))
        wrapped = encapsulate([compressed], has_bot=False)
        plugin = DECODERS[header.syntax]
        values: Values = decoder.as_array(wrapped, index=0, raw=True, decoding_plugin=plugin, **options)[0]
        if values.shape != (layout.rows, layout.columns):
            raise ImageUnreadable(_UNDECODABLE)
    return values
