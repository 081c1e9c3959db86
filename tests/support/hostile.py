"""Files that are small and ask for much: lengths that lie, pixels that are not there, work without an end."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from gateway.media.pictures.headers import PNG_SIGNATURE

LIE = 0x30000000


def png_chunk(name: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """Return a chunk with its checksum; `length` is what it says of itself."""
    return struct.pack(">I", len(body) if length is None else length) + name + body + _crc(name + body)


def png(*chunks: bytes, width: int = 128, height: int = 128, colour: int = 0, interlaced: bool = False) -> bytes:
    """Return a PNG file of 8 bits a sample with these chunks after its header."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + b"".join(chunks)


def grey_rows(width: int = 128, height: int = 128) -> bytes:
    """Return the pixels of a black PNG, compressed."""
    return zlib.compress(bytes((width + 1) * height))


def lying_png(name: bytes) -> bytes:
    """Return a PNG whose chunk `name` says that it is 768 MB long."""
    first = png_chunk(b"IDAT", grey_rows()) if name == b"IEND" else b""
    return png(first, struct.pack(">I", LIE) + name + grey_rows())


def text_bomb_png(name: bytes, size: int = 100 << 20) -> bytes:
    """Return a sound PNG with a text or a profile that inflates to `size` bytes."""
    return png(png_chunk(name, b"a\0\0" + _zeros(size)), png_chunk(b"IDAT", grey_rows()), png_chunk(b"IEND"), colour=0)


def jpeg_segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    """Return a segment; `length` is what it says of itself, its own two bytes included."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


def progressive_jpeg(scans: int, side: int, frame: int = 0xC2) -> bytes:
    """Return a grey JPEG of `scans` scans without a coefficient in them; each goes over all blocks once more."""
    blocks, bits = ((side + 7) // 8) ** 2, ""
    while blocks > 0:
        run = max(min(32767, blocks), 16384)
        bits += "0" + format(run - 16384, "014b")
        blocks -= run
    bits += "1" * (-len(bits) % 8)
    body = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    scan = jpeg_segment(0xDA, b"\1\1\0" + bytes([1, 63, 0])) + body
    return b"".join(
        [
            b"\xff\xd8" + jpeg_segment(0xDB, b"\0" + b"\1" * 64),
            jpeg_segment(frame, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"),
            jpeg_segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0"),
            scan * scans,
            b"\xff\xd9",
        ]
    )


def tiff(entries: list[tuple[int, int, int, bytes]], behind: bytes = b"", directories: int = 1) -> bytes:
    """Return a little-endian TIFF: entries of (tag, type, count, four bytes), all of its directories alike."""
    entries = sorted(entries)
    size = 2 + 12 * len(entries) + 4
    start = 8 + len(behind)
    file = b"II*\0" + struct.pack("<I", start) + behind
    for number in range(directories):
        following = start + (number + 1) * size if number + 1 < directories else 0
        file += struct.pack("<H", len(entries))
        file += b"".join(struct.pack("<HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
        file += struct.pack("<I", following)
    return file


def tiff_picture(
    side: int = 128, *, compression: int = 1, size: int | None = None, at: int = 8
) -> list[tuple[int, int, int, bytes]]:
    """Return the entries of a grey image of `side`², its one strip at byte `at`."""
    short: Callable[[int], bytes] = lambda value: struct.pack("<H", value)  # noqa: E731
    long: Callable[[int], bytes] = lambda value: struct.pack("<I", value)  # noqa: E731
    return [
        (256, 4, 1, long(side)),
        (257, 4, 1, long(side)),
        (258, 3, 1, short(8)),
        (259, 3, 1, short(compression)),
        (262, 3, 1, short(1)),
        (273, 4, 1, long(at)),
        (277, 3, 1, short(1)),
        (278, 4, 1, long(side)),
        (279, 4, 1, long(side * side if size is None else size)),
    ]


def zip_of(name: str, content: bytes) -> bytes:
    """Return a zip archive of one file, deflated."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return target.getvalue()


def nifti_gz_of_nothing(side: int, slices: int) -> bytes:
    """Return a .nii.gz whose header declares a volume, and which ends behind it."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, side, side, slices, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header))


def _zeros(size: int) -> bytes:
    stream = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join(stream.compress(piece) for _ in range(size >> 20)) + stream.flush()


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))
