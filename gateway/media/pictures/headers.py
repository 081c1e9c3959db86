"""What PNG and JPEG headers declare, read without touching a pixel.

Read by hand, and in bounded time, because size, colour model, animation and orientation decide whether
a decoder may see the bytes at all. A general library inflates text and colour profiles on opening, and
decodes the pixels of a PNG to look for an orientation behind them.

A decoder takes what a file says for true: it allocates the length that a chunk declares and the pixels that a header
does, and goes over all pixels once per scan. So lengths are held against the bytes that are there, pixels against the
most that so many bytes can be, and scans against `MAX_SCANS`, before a decoder sees any of them.

PNG: W3C Portable Network Graphics, third edition. JPEG: ITU-T T.81, annex B. Exif 2.32: tag 0x0112.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from
from typing import Literal

from gateway.errors import ImageUnreadable

Colour = Literal["grey", "rgb", "palette", "cmyk"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

MAX_PARTS = 1 << 16
"""More chunks or segments than pictures of a sensible writer have, and still walked in milliseconds."""

MAX_SCANS = 100
"""More scans than a JPEG of a sensible writer has: ten are usual. Each costs as much as decoding the picture once."""

_PNG_COLOURS: dict[int, Colour] = {0: "grey", 2: "rgb", 3: "palette", 4: "grey", 6: "rgb"}
_PNG_WITH_ALPHA = frozenset({4, 6})
_PNG_GREY = 0
# Four samples of 16 bits, where without alpha three are held.
_PNG_ALPHA_BYTES = 8
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Deflate's best: 258 bytes of two bits.
_MOST_INFLATED = 1032

_JPEG_COLOURS: dict[int, Colour] = {1: "grey", 3: "rgb", 4: "cmyk"}
# As libjpeg does: 0xFF may repeat before a marker, and bytes that are none are passed over. So are restart markers,
# which stand between compressed pixels.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_ARITHMETIC = frozenset(range(0xC9, 0xD0))
_WITHOUT_BODY = frozenset({0x01, 0xD8})
_APP1, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xDA, 0xD9
# A block of 8×8 pixels takes a bit at least, unless the coding is arithmetic.
_PIXELS_PER_BYTE = 8 * 64

_ORIENTATION, _SHORT = 0x0112, 3


@dataclass(frozen=True)
class ImageInfo:
    """What an image file says of itself.

    Attributes:
        format: ``"png"`` or ``"jpeg"``.
        stored_size: (width, height) in pixels as they lie in the file.
        colour: the colour model of the samples.
        alpha: whether pixels carry transparency.
        depth: bits per sample.
        orientation: Exif orientation, 1–8; 1 where none is given.
        animated: whether the file is declared to be more than a still picture.
        most_pixels: how many its compressed bytes can be at most, however well they are compressed.
        lossless: whether it is JPEG of one of the processes that lose nothing.
        working_bytes: what its decoder holds beside the pixels: of a JPEG of several scans all coefficients, of a PNG
            with transparency that.
        clear_grey: the sample of a grey PNG that stands for transparency; None: there is none.
    """

    format: Literal["png", "jpeg"]
    stored_size: tuple[int, int]
    colour: Colour
    alpha: bool
    depth: int
    orientation: int
    animated: bool
    most_pixels: int
    lossless: bool = False
    working_bytes: int = 0
    clear_grey: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels as displayed, after `orientation` is applied."""
        width, height = self.stored_size
        return (height, width) if self.orientation >= 5 else (width, height)

    @property
    def pixels(self) -> int:
        """Pixels in the picture: what decoding it costs."""
        return self.stored_size[0] * self.stored_size[1]


def read_png(data: memoryview) -> ImageInfo:
    """Read a PNG's header and walk its chunks. A file may end between two: the decoder's business, not the header's.

    Raises:
        ImageUnreadable: the image header is missing or not one that the standard allows, or a chunk is longer than the
            file.
    """
    chunks = _png_chunks(data)
    name, header = next(chunks, (b"", data[:0]))
    if name != b"IHDR" or len(header) != 13:
        raise ImageUnreadable("The PNG image does not begin with an image header.")
    width, height, depth, colour_type = unpack_from(">IIBB", header)
    if not (width and height and depth in (1, 2, 4, 8, 16) and colour_type in _PNG_COLOURS):
        raise ImageUnreadable("The PNG image header holds values that the format does not have.")
    orientation, animated, alpha, compressed = 1, False, colour_type in _PNG_WITH_ALPHA, 0
    clear_grey: int | None = None
    for name, body in chunks:
        if name == b"IDAT":
            compressed += len(body)
        elif name == b"acTL":
            animated = True
        elif name == b"tRNS":
            alpha = True
            if colour_type == _PNG_GREY and len(body) == 2:
                (clear_grey,) = unpack_from(">H", body)
        elif name == b"eXIf":
            orientation = read_orientation(body)
    most = 8 * compressed * _MOST_INFLATED // (_PNG_SAMPLES[colour_type] * depth)
    working = width * height * (_PNG_ALPHA_BYTES if alpha else 0)
    return ImageInfo(
        "png",
        (width, height),
        _PNG_COLOURS[colour_type],
        alpha,
        depth,
        orientation,
        animated,
        most,
        working_bytes=working,
        clear_grey=clear_grey,
    )


def read_jpeg(data: memoryview) -> ImageInfo:
    """Read a JPEG's segments up to its first scan, and count the scans.

    Raises:
        ImageUnreadable: no frame header comes before the first scan, or not one of a picture; or as `check_scans`.
    """
    orientation, frame, coding, scanned, factors = 1, None, 0, 0, data[:0]
    for marker, body in jpeg_segments(data):
        if marker == _START_OF_SCAN:
            scanned = body[0] if body else 0
            break
        if marker == _APP1 and bytes(body[:6]) == b"Exif\0\0":
            orientation = read_orientation(body[6:])
        elif marker in _FRAME_HEADERS and len(body) >= 6:
            frame, coding, factors = unpack_from(">BHHB", body), marker, body[7::3]
    if frame is None:
        raise ImageUnreadable("The JPEG image holds no frame header.")
    depth, height, width, components = frame
    if not (width and height and components in _JPEG_COLOURS):
        raise ImageUnreadable("The JPEG frame header declares no size, or no colour model that is known.")
    check_scans(data)
    most = width * height if coding in _ARITHMETIC else len(data) * _PIXELS_PER_BYTE
    colour, lossless = _JPEG_COLOURS[components], coding in _LOSSLESS
    several = coding in _PROGRESSIVE or scanned < components
    working = _coefficient_bytes(width, height, factors[:components]) if several else 0
    return ImageInfo("jpeg", (width, height), colour, False, depth, orientation, False, most, lossless, working)


def _coefficient_bytes(width: int, height: int, factors: memoryview) -> int:
    """Return what all coefficients of a JPEG take, two bytes each, as its decoder rounds up.

    Args:
        width: of the picture.
        height: of the picture.
        factors: of each component, how often it is sampled across and down.
    """
    sampled = [(max(1, factor >> 4), max(1, factor & 15)) for factor in factors]
    across, down = (max((each[axis] for each in sampled), default=1) for axis in (0, 1))
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return sum(2 * 64 * units * horizontal * vertical for horizontal, vertical in sampled)


def read_orientation(exif: memoryview) -> int:
    """Return the orientation, 1–8, that a block of Exif data (a TIFF header and its directory) gives.

    Data that is damaged, says nothing or says something else counts as 1, upright, as viewers do.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(exif[:4]))
    if order is None or len(exif) < 8:
        return 1
    (directory,) = unpack_from(order + "I", exif, 4)
    if directory + 2 > len(exif):
        return 1
    (entries,) = unpack_from(order + "H", exif, directory)
    for at in range(directory + 2, min(directory + 2 + 12 * entries, len(exif) - 11), 12):
        tag, kind, _, value = unpack_from(order + "HHIH", exif, at)
        if (tag, kind) == (_ORIENTATION, _SHORT):
            return int(value) if 1 <= value <= 8 else 1
    return 1


def check_scans(data: memoryview) -> None:
    """Refuse a JPEG that a decoder would go over too often.

    A picture of one scan, as most are, is not read beyond the head of that.

    Raises:
        ImageUnreadable: it has more than `MAX_SCANS` scans, or more segments than are walked.
    """
    components, coding, scans = 0, 0, 0
    for marker, body in jpeg_segments(data):
        if marker in _FRAME_HEADERS and len(body) >= 6:
            components, coding = body[5], marker
        elif marker == _START_OF_SCAN and body:
            scans += 1
            # A decoder knows of no second scan where the first has all components, once and for all. What is not of
            # T.81, such as JPEG-LS, has no scans to repeat, and other bytes between its markers.
            if not coding or (coding not in _PROGRESSIVE and body[0] == components):
                return
            if scans > MAX_SCANS:
                raise ImageUnreadable(f"The JPEG image has more than {MAX_SCANS} scans.")


def _png_chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (name, body) of each chunk, to the end of the image or of the file."""
    at = len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        length, name = unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end > len(data):
            raise ImageUnreadable("The PNG image is cut short, or a part of it is longer than the file.")
        yield name, data[at + 8 : end]
        if name == b"IEND":
            return
        at = end + 4  # the checksum
    raise ImageUnreadable(f"The PNG image has more than {MAX_PARTS} parts.")


def jpeg_segments(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (marker, body) of each whole segment, heads of scans among them; compressed pixels are passed over.

    Raises:
        ImageUnreadable: there are more than are walked.
    """
    at = 2  # the start-of-image marker
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return
        if marker in _WITHOUT_BODY:
            continue
        if at + 2 > len(data):
            return
        (length,) = unpack_from(">H", data, at)
        if length < 2 or at + length > len(data):
            return
        yield marker, data[at + 2 : at + length]
        at += length
    raise ImageUnreadable(f"The JPEG image has more than {MAX_PARTS} parts.")
