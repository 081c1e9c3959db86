"""What size a compressed picture says it has, read from its first bytes.

A decoder allocates what the codestream declares, whatever the DICOM header beside it says: so both are compared
before a decoder sees either.

JPEG: ITU-T T.81, annex B. JPEG-LS: T.87, annex C. JPEG 2000: T.800, annexes A and I. RLE: DICOM PS3.5, annex G.
"""

from __future__ import annotations

from collections.abc import Iterator
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
_JPEG_LS, _START_OF_SCAN, _CODING_STYLE = 0xF7, 0xDA, 0x52
_LOSSLESS_PROCESSES = {0xC3, 0xC7, 0xCB, 0xCF}
# Of tables and comments before the first scan.
_LONGEST_HEAD = 1 << 16

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


def is_lossy(frame: memoryview) -> bool:
    """Return whether a compressed frame says that it was coded with losses, whatever its transfer syntax may.

    JPEG is lossless of the processes that predict (T.81, table B.1), JPEG-LS with NEAR 0 (T.87, C.2.3), JPEG 2000 by
    the reversible transformation (T.800, A.6.1). What is no such stream, RLE or a damaged one, is not.
    """
    start = 0
    if frame[:12] == _JP2_SIGNATURE:
        try:
            start = _codestream_start(frame)
        except ImageUnreadable:
            return False
    head = bytes(frame[start : start + _LONGEST_HEAD])
    process = None
    for marker, at in _markers(head):
        if marker in _FRAMES:
            process = marker
        elif marker == _START_OF_SCAN and process == _JPEG_LS:
            components = head[at + 4] if at + 4 < len(head) else 0
            near = at + 5 + 2 * components
            return near < len(head) and head[near] != 0
        elif marker == _START_OF_SCAN:
            return process is not None and process not in _LOSSLESS_PROCESSES
        elif marker == _CODING_STYLE:
            return at + 13 < len(head) and head[at + 13] == 0
    return False


def _markers(head: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker that has a segment, and where it begins, from the second one of a stream on."""
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # a byte that fills
            at += 1
            continue
        yield marker, at
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")


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
