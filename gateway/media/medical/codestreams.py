"""What size a compressed picture says it has, read from its first bytes.

A decoder allocates what the codestream declares, whatever the DICOM header beside it says: so both are compared
before a decoder sees either.

JPEG: ITU-T T.81, annex B. JPEG-LS: T.87, annex C. JPEG 2000: T.800, annexes A and I. RLE: DICOM PS3.5, annex G.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack_from

from gateway.errors import ImageUnreadable
from gateway.media.pictures.headers import JPEG_SIGNATURE, check_scans, jpeg_segments

# Start of frame, without the tables that share its range; 0xF7 is JPEG-LS.
_FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"  # start of codestream, then its size marker
_MOST_BOXES = 32
# A decoder allocates some 6 KB a tile before it reads the first of them.
_MOST_TILES = 1024

RLE_HEADER_BYTES = 64


@dataclass(frozen=True)
class Declared:
    """What a codestream declares.

    Attributes:
        columns: pixels across.
        rows: pixels down.
        samples: components per pixel.
        bits: bits per sample.
    """

    columns: int
    rows: int
    samples: int
    bits: int


def declared_by_jpeg(frame: memoryview) -> Declared:
    """Return what a JPEG or JPEG-LS stream declares.

    Raises:
        ImageUnreadable: it is not such a stream, or has no frame header, or as `check_scans`.
    """
    if frame[:3] == JPEG_SIGNATURE:
        for marker, body in jpeg_segments(frame):
            if marker in _FRAMES and len(body) >= 6:
                bits, rows, columns, samples = unpack_from(">BHHB", body)
                check_scans(frame)
                return Declared(columns, rows, samples, bits)
    raise ImageUnreadable("The compressed pixels do not begin as JPEG.")


def declared_by_jpeg2000(frame: memoryview) -> Declared:
    """Return what a JPEG 2000 codestream declares, bare or in its file format.

    Raises:
        ImageUnreadable: it is not such a stream, or of more tiles than are decoded.
    """
    at = _codestream_start(frame) if frame[:12] == _JP2_SIGNATURE else 0
    if frame[at : at + 4] != _CODESTREAM or len(frame) < at + 43:
        raise ImageUnreadable("The compressed pixels do not begin as JPEG 2000.")
    right, bottom, left, top = unpack_from(">IIII", frame, at + 8)
    across, down, tiles_left, tiles_top = unpack_from(">IIII", frame, at + 24)
    # Tiles are counted from their own origin, which lies before that of the pixels.
    if not (across and down and -(-(right - tiles_left) // across) * -(-(bottom - tiles_top) // down) <= _MOST_TILES):
        raise ImageUnreadable(f"The compressed pixels are in more than {_MOST_TILES} tiles.")
    samples, depth = unpack_from(">HB", frame, at + 40)
    return Declared(right - left, bottom - top, samples, (depth & 0x7F) + 1)


def declared_by_rle(frame: memoryview) -> int:
    """Return how many segments an RLE frame declares: one per byte of a pixel.

    Raises:
        ImageUnreadable: its header is cut short, or points out of the frame.
    """
    if len(frame) >= RLE_HEADER_BYTES:
        segments, *offsets = unpack_from("<16I", frame)
        if segments <= 15 and all(RLE_HEADER_BYTES <= offset < len(frame) for offset in offsets[:segments]):
            return int(segments)
    raise ImageUnreadable("The compressed pixels do not begin as RLE.")


def _codestream_start(frame: memoryview) -> int:
    """Return where the codestream lies among the boxes of a JP2 file."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(frame):
            break
        length, kind = unpack_from(">I4s", frame, at)
        if kind == b"jp2c":
            return at + (16 if length == 1 else 8)
        if length < 8:
            break
        at += length
    raise ImageUnreadable("The compressed pixels do not begin as JPEG 2000.")
