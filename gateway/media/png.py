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

from gateway.media.headers import PNG_SIGNATURE

UInt8 = npt.NDArray[np.uint8]

_GREY, _RGB, _INDEXED = 0, 2, 3

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
    return _assemble(width, height, depth, _INDEXED, _chunk(b"PLTE", palette), scanlines)


def rgb_png(width: int, height: int, scanlines: Iterable[UInt8]) -> bytes:
    """Return an RGB PNG of 8 bits a sample; arguments as in `indexed_png`."""
    return _assemble(width, height, 8, _RGB, (), scanlines)


def grey_png(width: int, height: int, scanlines: Iterable[UInt8]) -> bytes:
    """Return a grey PNG of 8 bits a sample; arguments as in `indexed_png`."""
    return _assemble(width, height, 8, _GREY, (), scanlines)


def _assemble(
    width: int, height: int, depth: int, colour_type: int, palette: Iterable[bytes], scanlines: Iterable[UInt8]
) -> bytes:
    header = pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pieces = [PNG_SIGNATURE, *_chunk(b"IHDR", header), *palette]
    for compressed in _deflated(scanlines):
        pieces += _chunk(b"IDAT", compressed)
    pieces += _chunk(b"IEND", b"")
    return b"".join(pieces)


def _deflated(scanlines: Iterable[UInt8]) -> Iterator[bytes]:
    """Yield the pieces of one zlib stream, none of them empty."""
    stream = isal_zlib.compressobj(_LEVEL)
    for band in scanlines:
        if compressed := stream.compress(band):
            yield compressed
    yield stream.flush()


def _chunk(name: bytes, body: bytes) -> tuple[bytes, ...]:
    """Return the pieces of one chunk; they are joined once, with all the others."""
    return pack(">I", len(body)), name, body, pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(name)))
