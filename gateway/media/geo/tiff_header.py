"""What the directories of a TIFF file declare, read without touching a pixel.

Read by hand, and in bounded time, because sizes, compression and colour model decide whether GDAL may see the bytes at
all; and because a file that is cut short is better refused at once than after half of it was worked on.

Every entry is held against the bytes that are there, those that are not needed here too: libtiff copies them. All
values together are no more than the file, so that no byte of it is copied twice.

TIFF 6.0, and BigTIFF as libtiff has it; GDAL's and GeoTIFF's own tags are left to GDAL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import calcsize, unpack
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.errors import BandsUnsuitable, CompressionUnsupported, ImageUnreadable, ImageUnsuitable
from gateway.media.pictures.headers import check_scans
from gateway.media.pictures.images import ImageLimits

Int64 = npt.NDArray[np.int64]
Directory = Mapping[int, Int64]

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS = 254, 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _BANDS, _STRIP_ROWS, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _TABLES = 322, 323, 324, 325, 347
_READ = frozenset(
    {
        *(_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _STRIPS, _ORIENTATION, _BANDS, _STRIP_ROWS),
        *(_STRIP_BYTES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _TABLES),
    }
)

# Type → numpy's name of it: BYTE, SHORT, LONG, LONG8. Those of other types count as absent.
_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
_UNDEFINED = 7
# Type → bytes of a value; libtiff passes over entries of other types.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
# Of strips and tiles alone there may be more.
_MANY, _MOST_VALUES = frozenset({_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES}), 1 << 16

_MASK, _REDUCED = 4, 1
_MAX_DIRECTORIES, _MAX_ENTRIES, _MAX_BANDS = 256, 1024, 64
_UNCOMPRESSED, _JPEG, _WEBP = 1, 7, 50001
# None, LZW, JPEG, deflate by its two numbers, PackBits, LERC, LZMA, ZSTD, WebP.
_COMPRESSIONS = frozenset({_UNCOMPRESSED, 5, _JPEG, 8, 32946, 32773, 34887, 34925, 50000, _WEBP})
_BLACK_IS_ZERO, _RGB, _YCC = 1, 2, 6
# White is zero, black is zero, RGB, palette, inks, YCbCr.
_COLOUR_MODELS = frozenset({0, _BLACK_IS_ZERO, 2, 3, 5, 6})
# What is decoded at once for a single pixel: half of what GDAL may keep, so that a strip's bands stay together.
_BLOCK_BYTES = 64 * 1024 * 1024

DAMAGED = "The TIFF image is cut short or damaged."


class Octets(Protocol):
    """The bytes of a file, wherever they are."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, part: slice, /) -> bytes | memoryview:
        """Return some of them; `part` has a start and a stop, within the file."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Where the strips or tiles of an image lie.

    Attributes:
        side: (across, down) of each, in pixels.
        across: how many there are side by side.
        down: how many one below the other; the bands of a file that keeps them apart follow each other.
        starts: int64 (n,), bytes from the beginning of the file.
        sizes: int64 (n,), bytes; 0 where there is nothing.
        jpeg: whether each is one.
    """

    side: tuple[int, int]
    across: int
    down: int
    starts: Int64
    sizes: Int64
    jpeg: bool

    def under(self, rows: slice, columns: slice) -> Int64:
        """Return the numbers of the blocks that a window has pixels of, int64 (k,)."""
        wide, high = self.side
        y = np.arange(rows.start // high, min(-(-rows.stop // high), self.down))
        x = np.arange(columns.start // wide, min(-(-columns.stop // wide), self.across))
        plane = self.across * self.down
        first = np.arange(0, len(self.starts) - plane + 1, plane)
        numbers: Int64 = (first[:, None, None] + y[:, None] * self.across + x).ravel()
        return numbers


@dataclass(frozen=True)
class JpegCoding:
    """What the blocks of an image in JPEG have in common.

    Attributes:
        ycc: whether they are in YCbCr, and not in RGB.
        tables: JPEG's own, which they leave out; empty where each has all of them.
    """

    ycc: bool
    tables: bytes


@dataclass(frozen=True)
class TiffInfo:
    """What a TIFF file says of its first image.

    Attributes:
        size: (width, height) in pixels.
        lossy: whether its compression changes samples.
        layers: the blocks of the image, and of what has its size: its mask.
        jpeg: how the blocks of the image are coded; None where they are not of three bands of 8 bits in JPEG.
    """

    size: tuple[int, int]
    lossy: bool
    layers: tuple[Blocks, ...]
    jpeg: JpegCoding | None


def read_tiff(data: Octets, limits: ImageLimits, *, scans: bool = True) -> TiffInfo:
    """Read all directories of a TIFF file, and judge the first image, its overviews and its masks.

    Args:
        data: the file.
        limits: what sizes are served.
        scans: whether pieces in JPEG are gone over, which takes all of their bytes; without it whoever has them decoded
            does so before.

    Raises:
        ImageTooLarge: as `limits` says of the first image.
        ImageUnreadable: a directory is broken, has no pixels, or pixels that the file does not reach to.
        ImageUnsuitable: too small, turned by its orientation tag, or compressed in pieces too large.
        BandsUnsuitable: of a colour model such as CIELab.
        CompressionUnsupported: of a compression that is not decoded here.
    """
    directories = list(_directories(data))
    if not directories:
        raise ImageUnreadable(DAMAGED)
    for directory in directories:
        _check_blocks(directory, len(data))
    first = directories[0]
    if _one(first, _SUBFILE, 0) & (_MASK | _REDUCED):
        raise ImageUnreadable("The TIFF file holds overviews or a mask, and not the image they are of.")
    if _one(first, _ORIENTATION, 1) != 1:
        raise ImageUnsuitable("The TIFF image is stored turned or mirrored; store it upright.")
    if _one(first, _COLOURS, _BLACK_IS_ZERO) not in _COLOUR_MODELS:
        raise BandsUnsuitable("The TIFF image is neither grey, RGB, CMYK nor of a palette; store it as one of them.")
    size = _one(first, _WIDTH, 0), _one(first, _HEIGHT, 0)
    limits.check(*size)
    for directory in directories:
        _check_pixels(directory, data, scans=scans)
    same = [one for one in directories if (_one(one, _WIDTH, 0), _one(one, _HEIGHT, 0)) == size]
    lossy = _one(first, _COMPRESSION, _UNCOMPRESSED) in (_JPEG, _WEBP)
    return TiffInfo(size, lossy, tuple(map(_blocks, same)), _jpeg_coding(first))


def _directories(data: Octets) -> Iterator[Directory]:
    """Yield the directories of the file's chain.

    Raises:
        ImageUnreadable: one lies beyond the end of the file, or there are too many, or their values are more than it.
    """
    order = "<" if bytes(data[:2]) == b"II" else ">"
    big = _number(data, order + "H", 2) == 43 if len(data) >= 8 else False
    # BigTIFF: numbers of entries, values and offsets have eight bytes, and two words say so.
    count_format, offset_format, at = ("Q", "Q", 8) if big else ("H", "I", 4)
    count_bytes, offset_bytes = (8, 8) if big else (2, 4)
    left = len(data)
    for _ in range(_MAX_DIRECTORIES):
        start = _number(data, order + offset_format, at)
        if start == 0:
            return
        count = _number(data, order + count_format, start)
        if not 0 < count <= _MAX_ENTRIES:
            raise ImageUnreadable(DAMAGED)
        entry_bytes = 4 + 2 * offset_bytes
        at = start + count_bytes + count * entry_bytes
        entries = range(start + count_bytes, at, entry_bytes)
        directory: dict[int, Int64] = {}
        for entry in entries:
            size, values = _entry(data, entry, order, offset_format)
            left -= size
            if left < 0:
                raise ImageUnreadable(DAMAGED)
            directory.update(values)
        yield directory
    raise ImageUnreadable(f"The TIFF file holds more than {_MAX_DIRECTORIES} images.")


def _entry(data: Octets, at: int, order: str, offset_format: str) -> tuple[int, Directory]:
    """Return the bytes of an entry's values that lie elsewhere, and the values by their tag where they are needed."""
    if at + 4 + 2 * (offset_bytes := 4 if offset_format == "I" else 8) > len(data):
        raise ImageUnreadable(DAMAGED)
    head = order + "HH" + offset_format
    tag, kind, count = unpack(head, data[at : at + calcsize(head)])
    if kind not in _BYTES or count == 0:
        return 0, {}
    start, size = at + 4 + offset_bytes, count * _BYTES[kind]
    elsewhere = size if size > offset_bytes else 0
    if elsewhere:
        start = _number(data, order + offset_format, start)
    if start + size > len(data):
        raise ImageUnreadable(DAMAGED)
    value = data[start : start + size]
    form = "u1" if (tag, kind) == (_TABLES, _UNDEFINED) else _TYPES.get(kind)
    if tag not in _READ or form is None:
        return elsewhere, {}
    if count > _MOST_VALUES and (tag not in _MANY or kind == 1):
        raise ImageUnreadable(DAMAGED)
    return elsewhere, {tag: np.frombuffer(value, order + form, count).astype(np.int64)}


def _check_blocks(directory: Directory, length: int) -> None:
    """Refuse an image whose strips or tiles are too few, too large, without bytes, or beyond the end of the file."""
    width, height, bands = _one(directory, _WIDTH, 0), _one(directory, _HEIGHT, 0), _one(directory, _BANDS, 1)
    tiled = _TILE_WIDTH in directory
    across, down = _block(directory)
    if min(width, height, across, down) < 1 or not 1 <= bands <= _MAX_BANDS:
        raise ImageUnreadable("The TIFF image declares no size, or more bands than are read.")
    compression = _one(directory, _COMPRESSION, _UNCOMPRESSED)
    if compression not in _COMPRESSIONS:
        raise CompressionUnsupported(
            "TIFF is read uncompressed or as LZW, deflate, ZSTD, LZMA, LERC, PackBits, JPEG or WebP, "
            "and not as this is compressed."
        )
    apart = _one(directory, _PLANAR, 1) == 2
    block = across * down * int(max(_many(directory, _BITS))) // 8 * (1 if apart else bands)
    if compression != _UNCOMPRESSED and block > _BLOCK_BYTES:
        raise ImageUnsuitable(
            f"The TIFF image is compressed in pieces of {across}×{down} pixels; store it in tiles of, say, 512×512."
        )
    blocks = -(-width // across) * -(-height // down) * (bands if apart else 1)
    offsets = _many(directory, _TILES if tiled else _STRIPS)
    sizes = _many(directory, _TILE_BYTES if tiled else _STRIP_BYTES)
    if compression == _UNCOMPRESSED and not tiled and len(offsets) == len(sizes):
        # What they take is known, and some writers tell more, which GDAL passes over.
        row = -(-width * int(max(_many(directory, _BITS))) * (1 if apart else bands) // 8)
        rows = np.minimum(down, height - down * (np.arange(len(sizes)) % -(-height // down))).astype(np.float64)
        sizes = np.minimum(sizes, np.minimum(rows * row, length + 1).astype(np.int64))
    if not len(offsets) == len(sizes) >= blocks or (offsets < 0).any() or (sizes < 0).any():
        raise ImageUnreadable(DAMAGED)
    # Blocks without bytes are of no data, as GDAL has it; an image of nothing else has no pixels.
    if not (sizes > 0).any():
        raise ImageUnreadable("The TIFF image holds no pixels.")
    if (offsets > length - sizes)[sizes > 0].any():
        raise ImageUnreadable("The TIFF image is cut short: some of its pixels would lie beyond its end.")


def _check_pixels(directory: Directory, data: Octets, *, scans: bool) -> None:
    """Refuse an image, its blocks judged before, whose pixels are fewer than it declares, or too much work."""
    compression = _one(directory, _COMPRESSION, _UNCOMPRESSED)
    tiled = _TILE_WIDTH in directory
    sizes = _many(directory, _TILE_BYTES if tiled else _STRIP_BYTES)
    if compression == _UNCOMPRESSED and ((sizes < _bytes_of_blocks(directory, len(sizes))) & (sizes > 0)).any():
        raise ImageUnreadable("The TIFF image holds fewer pixels than it declares.")
    if compression == _JPEG and scans:
        offsets = _many(directory, _TILES if tiled else _STRIPS)
        for start, size in set(zip(offsets.tolist(), sizes.tolist(), strict=True)):
            check_scans(memoryview(data[start : start + size]))


def _bytes_of_blocks(directory: Directory, blocks: int) -> Int64:
    """Return how many bytes each strip or tile has when it is not compressed."""
    across, down = _block(directory)
    bits = int(max(_many(directory, _BITS))) * (1 if _one(directory, _PLANAR, 1) == 2 else _one(directory, _BANDS, 1))
    row = -(-across * bits // 8)
    least = np.full(blocks, row * down)
    if _TILE_WIDTH not in directory:
        # The last strip of each plane may be of fewer rows.
        height = _one(directory, _HEIGHT, 0)
        strips = -(-height // down)
        least[strips - 1 :: strips] = row * (height - (strips - 1) * down)
    return least


def _blocks(directory: Directory) -> Blocks:
    """Return where the blocks of an image lie that was judged before."""
    (wide, high), tiled = _block(directory), _TILE_WIDTH in directory
    return Blocks(
        (wide, high),
        -(-_one(directory, _WIDTH, 0) // wide),
        -(-_one(directory, _HEIGHT, 0) // high),
        _many(directory, _TILES if tiled else _STRIPS),
        _many(directory, _TILE_BYTES if tiled else _STRIP_BYTES),
        _one(directory, _COMPRESSION, _UNCOMPRESSED) == _JPEG,
    )


def _jpeg_coding(directory: Directory) -> JpegCoding | None:
    """Return how the blocks of an image are coded that was judged before; None where not in JPEG and colour."""
    model = _one(directory, _COLOURS, _BLACK_IS_ZERO)
    bands = _one(directory, _BANDS, 1), set(_many(directory, _BITS).tolist()), _one(directory, _PLANAR, 1)
    coded = _one(directory, _COMPRESSION, _UNCOMPRESSED) == _JPEG and model in (_RGB, _YCC)
    if not coded or bands != (3, {8}, 1):
        return None
    return JpegCoding(model == _YCC, directory.get(_TABLES, np.zeros(0, np.int64)).astype(np.uint8).tobytes())


def _block(directory: Directory) -> tuple[int, int]:
    """Return (width, height) of a strip or tile, in pixels."""
    if _TILE_WIDTH in directory:
        return _one(directory, _TILE_WIDTH, 0), _one(directory, _TILE_HEIGHT, 0)
    height = _one(directory, _HEIGHT, 0)
    return _one(directory, _WIDTH, 0), min(_one(directory, _STRIP_ROWS, height), height)


def _one(directory: Directory, tag: int, default: int) -> int:
    values = directory.get(tag)
    return default if values is None else int(values[0])


def _many(directory: Directory, tag: int) -> Int64:
    """Return an entry's values; without it as the standard's default for bits per sample, a single 1, or none."""
    return directory.get(tag, np.ones(1 if tag == _BITS else 0, np.int64))


def _number(data: Octets, form: str, at: int) -> int:
    if not 0 <= at <= len(data) - calcsize(form):
        raise ImageUnreadable(DAMAGED)
    return int(unpack(form, data[at : at + calcsize(form)])[0])
