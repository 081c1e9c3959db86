"""PNG written by hand, and plain PNG read, each in a fraction of the time that an image library takes.

Written, the filter is fixed per kind of picture instead of tried per line, and deflate is ISA-L's. Rows come in
bands, so that nothing here but the compressed bytes is as large as the picture.

Read here are plain ones, as satellites' and cameras' pictures are: samples of 8 bits, grey or RGB, with alpha or
without, rows in their order, every checksum right. ISA-L inflates them twice as fast as the zlib in OpenCV's wheels,
and GDAL undoes the filters with SSE2 or NEON (https://gdal.org/en/stable/drivers/raster/png.html): two thirds of
OpenCV's time. GDAL is shown a file made here, of pixels that are known to be complete: by itself it takes rows that are
missing for whatever its memory holds. Anything that is not plain is OpenCV's to decode, or to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from struct import pack, unpack, unpack_from

import cv2
import numpy as np
import numpy.typing as npt
from isal import igzip_lib, isal_zlib
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from gateway.media.gdal import contained
from gateway.media.pictures.headers import MAX_PARTS, PNG_SIGNATURE

UInt8 = npt.NDArray[np.uint8]
Piece = bytes | memoryview

_GREY, _RGB, _INDEXED = 0, 2, 3
_UP = 2
_BAND_PIXELS = 1 << 20

# On label maps of real scenes level 0 saves 0.1 ms of 1024² and adds a third of bytes; 2 equals 1, and 3 is
# four times slower without being smaller. On pictures the levels differ by a tenth.
_LEVEL = 1

# Per colour type of the standard: samples a pixel, and how OpenCV makes colours of them.
_TO_COLOURS: dict[int, tuple[int, int | None]] = {0: (1, cv2.COLOR_GRAY2RGB), 2: (3, None), 6: (4, None)}

_DEFLATE, _ADAPTIVE, _IN_ORDER = 0, 0, 0

_ANCILLARY, _UNKNOWN = b"a", b"?"

# Samples that are clear are OpenCV's to find.
_KINDS = {b"IHDR": b"H", b"PLTE": b"P", b"IDAT": b"D", b"IEND": b"E", b"tRNS": _UNKNOWN}

_PLAIN = re.compile(rb"Ha*(Pa*)?D+a*E")

# The filtered rows are held three times over beside the pixels, where OpenCV holds a row or two.
_MOST_PIXELS = 1 << 24

_LONG_CHUNK, _UNHURRIED = 1 << 16, 1 << 12

# RFC 1951, 3.2.4: what a block without compression may hold.
_BLOCK = 0xFFFF


def encode_label_map(label_map: UInt8, palette: UInt8) -> bytes:
    """Return an indexed PNG whose pixel values are the label values.

    Args:
        label_map: uint8, (height, width), values below the length of `palette`.
        palette: uint8, (classes, 3), RGB, 1 to 256 classes. As few bits as these need are written per pixel.

    Raises:
        ValueError: a value has no colour.
    """
    check_values(label_map, palette)
    bits = next(bits for bits in (1, 2, 4, 8) if len(palette) <= 1 << bits)
    height, width = label_map.shape
    scanlines = (_packed(label_map[rows], bits) for rows in bands(height, width))
    return indexed_png(width, height, bits, palette.tobytes(), scanlines)


def encode_picture(pixels: UInt8) -> bytes:
    """Return an RGB PNG of pixels, uint8 (H, W, 3)."""
    height, width = pixels.shape[:2]
    return rgb_png(width, height, up_filtered((pixels[rows] for rows in bands(height, width)), width))


def encode_grey(values: UInt8) -> bytes:
    """Return a grey PNG of values, uint8 (H, W)."""
    height, width = values.shape
    return grey_png(width, height, _unfiltered(values))


def indexed_png(width: int, height: int, depth: int, palette: bytes, scanlines: Iterable[UInt8]) -> bytes:
    """Return an indexed PNG.

    Args:
        width: pixels across.
        height: pixels down.
        depth: bits per index: 1, 2, 4 or 8.
        palette: three bytes per index, RGB.
        scanlines: bands of rows from top to bottom, uint8, (rows, 1 + bytes per row): filter type, then the row.
    """
    return _assemble(width, height, depth, _INDEXED, chunk(b"PLTE", palette), scanlines)


def rgb_png(width: int, height: int, scanlines: Iterable[UInt8]) -> bytes:
    """Return an RGB PNG of 8 bits a sample; arguments as in `indexed_png`."""
    return _assemble(width, height, 8, _RGB, (), scanlines)


def grey_png(width: int, height: int, scanlines: Iterable[UInt8]) -> bytes:
    """Return a grey PNG of 8 bits a sample; arguments as in `indexed_png`."""
    return _assemble(width, height, 8, _GREY, (), scanlines)


def check_values(label_map: UInt8, palette: UInt8) -> None:
    """Do nothing where each value of a label map has a colour; both as of `encode_label_map`.

    Raises:
        ValueError: one has none.
    """
    if label_map.max() >= len(palette):
        raise ValueError(f"label value {label_map.max()} has no colour among {len(palette)}")


def _packed(labels: UInt8, bits: int) -> UInt8:
    """Return PNG scanlines, unfiltered, with 8 / bits pixels per byte, the leftmost in the high bits."""
    height, width = labels.shape
    if bits == 1:
        rows = np.packbits(labels, axis=1)
    else:
        rows = np.zeros((height, -(-width * bits // 8) * 8 // bits), np.uint8)
        rows[:, :width] = labels
    while bits in (2, 4):
        # Two neighbours are one little-endian word with the left one in its low byte.
        pairs = rows.view("<u2")
        rows = np.asarray((pairs << bits) | (pairs >> 8), np.uint8)
        bits *= 2
    scanlines = np.zeros((height, 1 + rows.shape[1]), np.uint8)
    scanlines[:, 1:] = rows
    return scanlines


def _unfiltered(values: UInt8) -> Iterator[UInt8]:
    height, width = values.shape
    for rows in bands(height, width):
        # Filter type 0, then the row.
        yield np.pad(values[rows], ((0, 0), (1, 0)))


def bands(height: int, width: int) -> Iterator[slice]:
    """Return the rows of a picture in bands of some million pixels, which bounds the working memory."""
    step = max(1, _BAND_PIXELS // width)
    return (slice(y, min(y + step, height)) for y in range(0, height, step))


def up_filtered(pictures: Iterable[UInt8], width: int) -> Iterator[UInt8]:
    """Yield PNG scanlines with the `Up` filter, on photographs the best that takes one subtraction.

    Args:
        pictures: bands of rows from top to bottom, uint8, (rows, width, 3), RGB.
        width: pixels across.
    """
    previous = np.zeros(3 * width, np.uint8)
    for picture in pictures:
        rows = picture.reshape(len(picture), -1)
        scanlines = np.empty((len(rows), 1 + 3 * width), np.uint8)
        scanlines[:, 0] = _UP
        np.subtract(rows[0], previous, out=scanlines[0, 1:])
        np.subtract(rows[1:], rows[:-1], out=scanlines[1:, 1:])
        previous = rows[-1]
        yield scanlines


def chunk(name: bytes, body: Piece = b"") -> tuple[Piece, ...]:
    """Return the pieces of one chunk; all are to be joined once."""
    checksum = isal_zlib.crc32(body, isal_zlib.crc32(name))
    return pack(">I", len(body)), name, body, pack(">I", checksum)


def _assemble(
    width: int,
    height: int,
    depth: int,
    colour_type: int,
    palette: Iterable[bytes | memoryview],
    scanlines: Iterable[UInt8],
) -> bytes:
    header = pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pieces: list[Piece] = [PNG_SIGNATURE, *chunk(b"IHDR", header), *palette]
    for compressed in _deflated(scanlines):
        pieces += chunk(b"IDAT", compressed)
    pieces += chunk(b"IEND", b"")
    return b"".join(pieces)


def _deflated(scanlines: Iterable[UInt8]) -> Iterator[bytes]:
    """Yield the pieces of one zlib stream, none of them empty."""
    stream = isal_zlib.compressobj(_LEVEL)
    for band in scanlines:
        if compressed := stream.compress(band):
            yield compressed
    yield stream.flush()


def decode_plain(data: bytes | memoryview) -> UInt8 | None:
    """Return the pixels of a plain PNG, or None where OpenCV is to have it.

    They are uint8 (height, width, 3), RGB, or (height, width, 4), RGBA, where the file has alpha.
    """
    chunks = _plain_chunks(memoryview(data))
    if not chunks or len(chunks[0]) != 13:
        return None
    header, *parts = chunks
    width, height, depth, colour_type, *methods = unpack(">IIBBBBB", header)
    if depth != 8 or colour_type not in _TO_COLOURS or methods != [_DEFLATE, _ADAPTIVE, _IN_ORDER]:
        return None
    if not 0 < width * height <= _MOST_PIXELS:
        return None
    samples, to_colours = _TO_COLOURS[colour_type]
    rows = _inflated(b"".join(parts), height * (1 + samples * width))
    if rows is None:
        return None
    pixels = np.empty((height, width, samples), np.uint8)
    if not _unfilter(header, rows, pixels):
        return None
    return pixels if to_colours is None else np.asarray(cv2.cvtColor(pixels, to_colours), np.uint8)


def _plain_chunks(view: memoryview) -> list[memoryview]:
    """Return the bodies of a PNG's header and pixels; none where any chunk is damaged or out of place."""
    kinds, bodies, at = b"", [], len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        if at + 12 > len(view):
            return []
        length, name = unpack_from(">I4s", view, at)
        start, at = at + 4, at + 12 + length
        if at > len(view) or _checksum(view[start : at - 4]) != unpack_from(">I", view, at - 4)[0]:
            return []
        kinds += _KINDS.get(name, _ANCILLARY if name[0] & 0x20 else _UNKNOWN)
        if name in (b"IHDR", b"IDAT"):
            bodies.append(view[start + 4 : at - 4])
        if name == b"IEND":
            return bodies if _PLAIN.fullmatch(kinds) else []
    return []


def _checksum(chunk: memoryview) -> int:
    """Return the CRC-32 of a chunk.

    ISA-L lets go of the GIL for more than 5 KiB, and to get it back from other requests takes longer than a checksum of
    the 8 KiB that libpng writes at a time, of which a picture has many.
    """
    if len(chunk) > _LONG_CHUNK:
        return isal_zlib.crc32(chunk)
    checksum = 0
    for at in range(0, len(chunk), _UNHURRIED):
        checksum = isal_zlib.crc32(chunk[at : at + _UNHURRIED], checksum)
    return checksum


def _inflated(stream: bytes, length: int) -> bytes | None:
    """Return what a zlib stream holds, where that is `length` bytes exactly; no more than those are inflated.

    This decompressor takes the memory for all of it at once. Python's own way, from 16 KiB on twice as much each time,
    gets the GIL back each time.
    """
    inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)
    try:
        rows: bytes = inflate.decompress(stream, length + 1)
    except isal_zlib.IsalError:  # type: ignore[misc]  # a class, whatever its stub says
        return None
    return rows if inflate.eof and len(rows) == length else None


def _unfilter(header: memoryview, rows: bytes, pixels: UInt8) -> bool:
    """Make `pixels`, uint8 (height, width, samples), of the filtered rows, and return whether that could be done."""
    file = b"".join([PNG_SIGNATURE, *chunk(b"IHDR", header), *chunk(b"IDAT", _stored(rows)), *chunk(b"IEND")])
    try:
        with contained(), MemoryFile(file) as memory, memory.open(driver="PNG") as dataset:
            # A view in GDAL's order of axes: with samples side by side it decodes straight into the array.
            dataset.read(out=pixels.transpose(2, 0, 1))
    except RasterioError:
        return False
    return True


def _stored(rows: bytes) -> bytes:
    """Return a zlib stream that holds `rows` as they are, which costs no more than a copy."""
    view = memoryview(rows)
    pieces: list[Piece] = [b"\x78\x01"]
    for at in range(0, len(view), _BLOCK):
        block = view[at : at + _BLOCK]
        final = at + _BLOCK >= len(view)
        pieces += [pack("<BHH", final, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*pieces, pack(">I", isal_zlib.adler32(rows))])
