"""Small files that ask for much are refused at once, and nothing of what they ask for is taken."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from tests.support import hostile
from tests.support.dicoms import ct, film, ramp, saved, wrapped
from tests.support.measured import Outcome, read_apart

SECONDS, MIB = 5.0, 50.0
"""What refusing one may take, of the processor and of memory. Milliseconds are usual."""

_CHUNKS = (b"IDAT", b"PLTE", b"tRNS", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL", b"fdAT", b"gAMA", b"abCd")


def _one_strip(size: int, **options: int) -> bytes:
    return hostile.tiff(hostile.tiff_picture(128, size=size, **options), bytes(128 * 128))


def _picture_with(*entries: tuple[int, int, int, bytes], directories: int = 1) -> bytes:
    return hostile.tiff([*hostile.tiff_picture(128), *entries], bytes(128 * 128), directories)


def _heavy_directories() -> bytes:
    # Each of 255 directories reads the whole file as bits per sample, once per entry.
    behind = b"\x08" * (1 << 20)
    entry = (258, 1, 1 << 20, struct.pack("<I", 8))
    picture = [one for one in hostile.tiff_picture(128) if one[0] != 258]
    return hostile.tiff(
        [*picture, entry, *[(40000 + n, 1, 1 << 20, struct.pack("<I", 8)) for n in range(60)]], behind, 255
    )


def _ct_with(**attributes: object) -> bytes:
    return saved(ct(BodyPartExamined="CHEST", **attributes))  # type: ignore[arg-type]


def _empty_items(count: int) -> bytes:
    """Return a CT with a sequence of `count` empty items, eight bytes each, spliced in before its pixels."""
    data = _ct_with()
    at = data.rindex(b"\xe0\x7f\x10\x00")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * count
    # PerFrameFunctionalGroupsSequence, explicit length.
    sequence = b"\x00\x52\x30\x92SQ\0\0" + struct.pack("<I", len(items)) + items
    return data[:at] + sequence + data[at:]


def _deep_sequence(depth: int) -> bytes:
    data = _ct_with()
    at = data.rindex(b"\xe0\x7f\x10\x00")
    head = b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    tail = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return data[:at] + head * depth + tail * depth + data[at:]


def _many_windows(count: int) -> bytes:
    """Return a radiograph with `count` window centres, two bytes each."""
    data = saved(film(ramp(64, 64) + 1000))
    at = data.rindex(b"\xe0\x7f\x10\x00")
    text = b"1\\" * count
    # WindowCenter, as a type whose length has four bytes, which readers take.
    element = b"\x28\x00\x50\x10UT\0\0" + struct.pack("<I", len(text)) + text
    return data[:at] + element + data[at:]


def _one_pixel_frames(count: int) -> bytes:
    dataset = ct(ramp(64, 64), BodyPartExamined="CHEST")
    dataset.Rows = dataset.Columns = 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.NumberOfFrames = count
    dataset.PixelData = bytes(count)
    dataset["PixelData"].VR = "OB"
    return saved(dataset)


def _many_fragments(count: int) -> bytes:
    dataset = wrapped(ct(ramp(64, 64), BodyPartExamined="CHEST"), [b"\xff\xd8\xff\xd9"], JPEGBaseline8Bit)
    data = saved(dataset)
    at = data.rindex(b"\xfe\xff\xdd\xe0")
    return data[:at] + b"\xfe\xff\x00\xe0\0\0\0\0" * count + data[at:]


def _lying_fragment() -> bytes:
    data = saved(wrapped(ct(ramp(64, 64), BodyPartExamined="CHEST"), [b"\xff\xd8\xff\xd9"], JPEGBaseline8Bit))
    at = data.rindex(b"\xfe\xff\x00\xe0")
    return data[: at + 4] + struct.pack("<I", hostile.LIE) + data[at + 8 :]


def _lying_element() -> bytes:
    data = _ct_with()
    at = data.rindex(b"\xe0\x7f\x10\x00")
    return data[:at] + b"\x28\x00\x06\x30OW\0\0" + struct.pack("<I", hostile.LIE) + data[at:]


def _dicom_jpeg(scans: int, side: int = 2048) -> bytes:
    dataset = ct(np.zeros((side, side), np.int16), intercept=0, bits=8, allocated=8, BodyPartExamined="CHEST")
    return saved(wrapped(dataset, [hostile.progressive_jpeg(scans, side)], JPEGBaseline8Bit))


def _tiled_jpeg2000(tile: int, side: int = 2048) -> bytes:
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, 1) + b"\x07\1\1"
    stream = b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size
    stream += b"\xff\x52" + struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 5, 4, 4, 0, 1)
    stream += b"\xff\x5c" + struct.pack(">HB", 19, 0x40) + bytes([0x40] * 16)
    stream += b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 0, 0, 1) + b"\xff\x93" + bytes(64) + b"\xff\xd9"
    dataset = ct(np.zeros((side, side), np.int16), intercept=0, bits=8, allocated=8, BodyPartExamined="CHEST")
    return saved(wrapped(dataset, [stream], JPEG2000Lossless))


def _lut(entries: int) -> bytes:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [entries, 0, 65535], [0, 1]
    table["LUTData"].VR = "US"
    return saved(film(ramp(64, 64) + 1000, VOILUTSequence=[table]))


_FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    **{f"png {name.decode()} of 768 MB": ("picture", partial(hostile.lying_png, name)) for name in _CHUNKS},
    "png IEND of 768 MB": ("picture", lambda: hostile.lying_png(b"IEND")),
    "png of 70,000 chunks, then a lie": (
        "picture",
        lambda: hostile.png(
            hostile.png_chunk(b"tEXt", b"a\0b") * 70_000, struct.pack(">I", hostile.LIE) + b"IDAT" + hostile.grey_rows()
        ),
    ),
    "png of 12000² without pixels": (
        "picture",
        lambda: hostile.png(
            hostile.png_chunk(b"IDAT", hostile.grey_rows()),
            hostile.png_chunk(b"IEND"),
            width=12_000,
            height=12_000,
            colour=2,
        ),
    ),
    "interlaced png of 12000² without pixels": (
        "picture",
        lambda: hostile.png(
            hostile.png_chunk(b"IDAT", hostile.grey_rows()),
            hostile.png_chunk(b"IEND"),
            width=12_000,
            height=12_000,
            colour=2,
            interlaced=True,
        ),
    ),
    "png with a lie for a ct": ("ct", lambda: hostile.lying_png(b"IDAT")),
    "png with a lie for a radiograph": ("radiograph", lambda: hostile.lying_png(b"IDAT")),
    "jpeg of 1,500 scans": ("picture", lambda: hostile.progressive_jpeg(1500, 4000)),
    "jpeg of 101 scans": ("picture", lambda: hostile.progressive_jpeg(101, 512)),
    "arithmetic jpeg of 150 scans": ("picture", lambda: hostile.progressive_jpeg(150, 2000, 0xCA)),
    "jpeg of 1,500 scans for a radiograph": ("radiograph", lambda: hostile.progressive_jpeg(1500, 4000)),
    "dicom jpeg of 1,500 scans": ("ct", lambda: _dicom_jpeg(1500)),
    "jpeg of 12000² without pixels": (
        "picture",
        lambda: b"\xff\xd8" + hostile.jpeg_segment(0xC0, struct.pack(">BHHB", 8, 12000, 12000, 1) + b"\1\x11\0"),
    ),
    "jpeg with a segment beyond its end": (
        "picture",
        lambda: hostile.progressive_jpeg(1, 512)[:-2] + hostile.jpeg_segment(0xDB, b"\0", 0xFFFF),
    ),
    "tiff strip of 768 MB": ("scene", lambda: _one_strip(hostile.LIE)),
    "tiff strip of 24000² in 16 kB": (
        "scene",
        lambda: hostile.tiff(hostile.tiff_picture(24_000, size=128 * 128), bytes(128 * 128)),
    ),
    "tiff text of 768 MB": ("scene", lambda: _picture_with((270, 2, hostile.LIE, struct.pack("<I", 8)))),
    "tiff private tag of 768 MB": ("scene", lambda: _picture_with((50_000, 1, hostile.LIE, struct.pack("<I", 8)))),
    "tiff geokeys of 768 MB": ("scene", lambda: _picture_with((34735, 3, hostile.LIE, struct.pack("<I", 8)))),
    "tiff whose entries share one megabyte": ("scene", _heavy_directories),
    "dicom element of 768 MB": ("ct", _lying_element),
    "dicom fragment of 768 MB": ("ct", _lying_fragment),
    "dicom of 2,000,000 empty items": ("ct", lambda: _empty_items(2_000_000)),
    "dicom of 2,000,000 empty fragments": ("ct", lambda: _many_fragments(2_000_000)),
    "dicom of 100,000 sequences in each other": ("ct", lambda: _deep_sequence(100_000)),
    "dicom of 4,000,000 frames of a pixel": ("ct", lambda: _one_pixel_frames(4_000_000)),
    "dicom of 4,000,000 windows": ("radiograph", lambda: _many_windows(4_000_000)),
    "dicom of one item too many": ("ct", lambda: _empty_items((1 << 14) + 1)),
    "dicom table of 65,535 bits": ("radiograph", lambda: _lut(2)),
    "jpeg 2000 of 4,194,304 tiles": ("ct", lambda: _tiled_jpeg2000(1)),
    "jpeg 2000 of 65,536 tiles": ("ct", lambda: _tiled_jpeg2000(8)),
    "nifti.gz of 2000 slices of 2048² in 100 bytes": ("ct", lambda: hostile.nifti_gz_of_nothing(2048, 120)),
    "zip of 500 MB of zeros": ("ct", lambda: hostile.zip_of("a.dcm", bytes(60 << 20))),
    "geojson of 10,000,000 empty lists": ("districts", lambda: b"[" + b"[]," * 10_000_000 + b"[]]"),
    "geojson of 30,000,000 brackets": ("districts", lambda: b"[" * 30_000_000),
    "geojson of 4,000,000 empty objects": ("districts", lambda: json.dumps([{}] * 4_000_000).encode()),
}


# GDAL reads no more of a strip than its pixels are, and so do we, whatever size a writer gave it.
_READ_ALL_THE_SAME = ("tiff strip of 768 MB",)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return what became of each of them, read in another process."""
    files = {name: (reader, content()) for name, (reader, content) in _FILES.items()}
    return read_apart(files, tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", _FILES)
def test_it_is_refused_at_once(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    # Anything but a code of ours would be an exception of the reader's.
    assert outcome.code.islower(), outcome
    assert outcome.code != "read" or name in _READ_ALL_THE_SAME, outcome
    assert outcome.seconds < SECONDS, outcome
    assert outcome.growth < MIB, outcome


_HARMLESS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "png text of 100 MB": ("picture", lambda: hostile.text_bomb_png(b"zTXt")),
    "png profile of 100 MB": ("picture", lambda: hostile.text_bomb_png(b"iCCP")),
    "dicom of as many items as are read": ("ct", lambda: _empty_items(16_000)),
    "geojson of as many lists as are read": ("districts", lambda: b"[" + b"[]," * 1_000_000 + b"[]]"),
    "jpeg of as many scans as are read": ("picture", lambda: hostile.progressive_jpeg(100, 512)),
}


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return what became of files that are just within bounds."""
    files = {name: (reader, content()) for name, (reader, content) in _HARMLESS.items()}
    return read_apart(files, tmp_path_factory.mktemp("harmless"))


@pytest.mark.parametrize("name", _HARMLESS)
def test_what_is_within_bounds_costs_little(harmless: dict[str, Outcome], name: str) -> None:
    outcome = harmless[name]
    assert outcome.code.islower(), outcome
    assert outcome.seconds < SECONDS, outcome
    assert outcome.growth < 2 * MIB, outcome
