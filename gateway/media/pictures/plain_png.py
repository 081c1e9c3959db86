"""Plain PNG pictures, decoded whole by ISA-L and GDAL in two thirds of the time that OpenCV takes row by row.

Plain is what satellites' and cameras' pictures are: samples of 8 bits, grey or RGB, with alpha or without, rows in
their order, every checksum right. ISA-L inflates them twice as fast as the zlib in OpenCV's wheels, and GDAL undoes the
filters with SSE2 or NEON (https://gdal.org/en/stable/drivers/raster/png.html). GDAL is shown a file made here, of
pixels that are known to be complete: by itself it takes rows that are missing for whatever its memory holds. Anything
that is not plain is OpenCV's to decode, or to refuse.
"""

from __future__ import annotations

import re
from struct import pack, unpack, unpack_from

import cv2
import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from gateway.media.gdal import contained
from gateway.media.pictures.headers import MAX_PARTS, PNG_SIGNATURE
from gateway.media.pictures.png import Piece, chunk

UInt8 = npt.NDArray[np.uint8]

# Per colour type of the standard: samples a pixel, and how OpenCV makes RGB of them.
_TO_RGB: dict[int, tuple[int, int | None]] = {
    0: (1, cv2.COLOR_GRAY2RGB),
    2: (3, None),
    6: (4, cv2.COLOR_RGBA2RGB),
}
_DEFLATE, _ADAPTIVE, _IN_ORDER = 0, 0, 0

_KINDS = {b"IHDR": b"H", b"PLTE": b"P", b"IDAT": b"D", b"IEND": b"E"}
_ANCILLARY, _UNKNOWN = b"a", b"?"
_PLAIN = re.compile(rb"Ha*(Pa*)?D+a*E")

# The filtered rows are held three times over beside the pixels, where OpenCV holds a row or two.
_MOST_PIXELS = 1 << 24

# RFC 1951, 3.2.4: what a block without compression may hold.
_BLOCK = 0xFFFF


def decode_plain(data: bytes | memoryview) -> UInt8 | None:
    """Return the RGB pixels of a plain PNG, uint8 (height, width, 3), or None where OpenCV is to have it."""
    chunks = _plain_chunks(memoryview(data))
    if not chunks or len(chunks[0]) != 13:
        return None
    header, *parts = chunks
    width, height, depth, colour_type, *methods = unpack(">IIBBBBB", header)
    if depth != 8 or colour_type not in _TO_RGB or methods != [_DEFLATE, _ADAPTIVE, _IN_ORDER]:
        return None
    if not 0 < width * height <= _MOST_PIXELS:
        return None
    samples, to_rgb = _TO_RGB[colour_type]
    rows = _inflated(b"".join(parts), height * (1 + samples * width))
    if rows is None:
        return None
    pixels = np.empty((height, width, samples), np.uint8)
    if not _unfilter(header, rows, pixels):
        return None
    return pixels if to_rgb is None else np.asarray(cv2.cvtColor(pixels, to_rgb), np.uint8)


def _plain_chunks(view: memoryview) -> list[memoryview]:
    """Return the bodies of a PNG's header and pixels; none where any chunk is damaged or out of place."""
    kinds, bodies, at = b"", [], len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        if at + 12 > len(view):
            return []
        length, name = unpack_from(">I4s", view, at)
        start, at = at + 4, at + 12 + length
        if at > len(view) or isal_zlib.crc32(view[start : at - 4]) != unpack_from(">I", view, at - 4)[0]:
            return []
        kinds += _KINDS.get(name, _ANCILLARY if name[0] & 0x20 else _UNKNOWN)
        if name in (b"IHDR", b"IDAT"):
            bodies.append(view[start + 4 : at - 4])
        if name == b"IEND":
            return bodies if _PLAIN.fullmatch(kinds) else []
    return []


def _inflated(stream: bytes, length: int) -> bytes | None:
    """Return what a zlib stream holds, where that is `length` bytes exactly; no more than those are inflated."""
    inflate = isal_zlib.decompressobj()
    try:
        rows: bytes = inflate.decompress(stream, length + 1)
    except isal_zlib.IsalError:  # type: ignore[misc]  # a class, whatever its stub says
        return None
    return rows if inflate.eof and len(rows) == length else None


def _unfilter(header: memoryview, rows: bytes, pixels: UInt8) -> bool:
    """Make `pixels`, uint8 (height, width, samples), of the filtered rows, and return whether that could be done."""
    file = b"".join([PNG_SIGNATURE, *chunk(b"IHDR", header), *chunk(b"IDAT", *_stored(rows)), *chunk(b"IEND")])
    try:
        with contained(), MemoryFile(file) as memory, memory.open(driver="PNG") as dataset:
            # A view in GDAL's order of axes: with samples side by side it decodes straight into the array.
            dataset.read(out=pixels.transpose(2, 0, 1))
    except RasterioError:
        return False
    return True


def _stored(rows: bytes) -> list[Piece]:
    """Return the pieces of a zlib stream that holds `rows` as they are, which costs no more than a copy."""
    view = memoryview(rows)
    pieces: list[Piece] = [b"\x78\x01"]
    for at in range(0, len(view), _BLOCK):
        block = view[at : at + _BLOCK]
        final = at + _BLOCK >= len(view)
        pieces += [pack("<BHH", final, len(block), len(block) ^ 0xFFFF), block]
    return [*pieces, pack(">I", isal_zlib.adler32(rows))]
