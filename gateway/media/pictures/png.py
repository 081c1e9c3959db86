"""Writing PNG by hand, several times faster than an image library does.

The filter is fixed per kind of picture instead of tried per line, and deflate is ISA-L's. Rows come in
bands, so that nothing here but the compressed bytes is as large as the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from gateway.media.pictures.headers import PNG_SIGNATURE

UInt8 = npt.NDArray[np.uint8]
Piece = bytes | memoryview

_GREY, _RGB, _INDEXED = 0, 2, 3
_UP = 2
_BAND_PIXELS = 1 << 20

# On label maps of real scenes level 0 saves 0.1 ms of 1024² and adds a third of bytes; 2 equals 1, and 3 is
# four times slower without being smaller. On pictures the levels differ by a tenth.
_LEVEL = 1


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


def chunk(name: bytes, *body: Piece) -> tuple[Piece, ...]:
    """Return the pieces of one chunk whose body is given in pieces; all are to be joined once."""
    checksum = isal_zlib.crc32(name)
    for piece in body:
        checksum = isal_zlib.crc32(piece, checksum)
    return pack(">I", sum(map(len, body))), name, *body, pack(">I", checksum)


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
