"""What is decoded whole equals what OpenCV decodes row by row, and what is not whole is left to it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.pictures.headers import PNG_SIGNATURE
from gateway.media.pictures.png import decode_plain

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
IN_ORDER, INTERLACED = 0, 1


def chunk(name: bytes, body: bytes = b"", damage: int = 0) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) ^ damage)


def header(width: int, height: int, colour: int = 2, depth: int = 8, interlace: int = IN_ORDER) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def rows(width: int, height: int, colour: int = 2, seed: int = 0, steepest: int = 256) -> bytes:
    """Return scanlines of random filters, and of random values below `steepest` before they are undone."""
    random = np.random.default_rng(seed)
    lines = random.integers(0, steepest, (height, 1 + SAMPLES[colour] * width), np.uint8)
    lines[:, 0] = random.integers(0, 5, height)
    return lines.tobytes()


def png(*chunks: bytes, end: bytes = chunk(b"IEND")) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks) + end


def by_opencv(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


@settings(deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 60),
    st.sampled_from([0, 2, 6]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 7, 256]),
    st.integers(0, 9),
    st.lists(st.floats(0, 1), max_size=4),
    st.booleans(),
)
def test_plain_pictures_equal_opencv(
    width: int, height: int, colour: int, seed: int, steepest: int, level: int, cuts: Sequence[float], described: bool
) -> None:
    stream = zlib.compress(rows(width, height, colour, seed, steepest), level)
    bounds = [0, *sorted(round(cut * len(stream)) for cut in cuts), len(stream)]
    parts = [chunk(b"IDAT", stream[a:b]) for a, b in pairwise(bounds)]
    said = [chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"tEXt", b"Title\0a town")] if described else []
    data = png(header(width, height, colour), *said, *parts, *said[1:])
    pixels = decode_plain(memoryview(data))
    assert pixels is not None
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels[..., :3], by_opencv(data))
    if colour == 6:
        as_it_is = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        assert as_it_is is not None
        assert np.array_equal(pixels[..., 3], as_it_is[..., 3])


def test_more_than_one_stored_block() -> None:
    data = png(header(300, 250), chunk(b"IDAT", zlib.compress(rows(300, 250))))
    pixels = decode_plain(data)
    assert pixels is not None
    assert np.array_equal(pixels, by_opencv(data))


WHOLE = rows(40, 30)
STREAM = zlib.compress(WHOLE)
HEADER, PIXELS = header(40, 30), chunk(b"IDAT", STREAM)

DAMAGED = {
    "cut in the pixels": png(HEADER, PIXELS)[:200],
    "no end": png(HEADER, PIXELS, end=b""),
    "no pixels": png(HEADER),
    "checksum of the header": png(chunk(b"IHDR", HEADER[8:21], damage=1), PIXELS),
    "checksum of the pixels": png(HEADER, chunk(b"IDAT", STREAM, damage=1)),
    "not deflate": png(HEADER, chunk(b"IDAT", b"\x78\x01 nothing")),
    "checksum of the rows": png(HEADER, chunk(b"IDAT", STREAM[:-1] + bytes([STREAM[-1] ^ 1]))),
    "half a stream": png(HEADER, chunk(b"IDAT", STREAM[: len(STREAM) // 2])),
    "a row missing": png(HEADER, chunk(b"IDAT", zlib.compress(WHOLE[:-121]))),
    "a byte missing": png(HEADER, chunk(b"IDAT", zlib.compress(WHOLE[:-1]))),
    "half missing": png(HEADER, chunk(b"IDAT", zlib.compress(WHOLE[: len(WHOLE) // 2]))),
    "an unknown filter": png(HEADER, chunk(b"IDAT", zlib.compress(b"\x05" + WHOLE[1:]))),
    "an unknown critical chunk": png(HEADER, chunk(b"NEWS"), PIXELS),
}
ODD = {
    "a byte too many": png(HEADER, chunk(b"IDAT", zlib.compress(WHOLE + b"\0"))),
    "a chunk between pixels": png(HEADER, PIXELS, chunk(b"tEXt", b"a\0b"), PIXELS),
    "a damaged text": png(HEADER, chunk(b"tEXt", b"a\0b", damage=1), PIXELS),
    "palette": png(header(40, 30, 3), chunk(b"PLTE", bytes(768)), chunk(b"IDAT", zlib.compress(rows(40, 30, 3)))),
    "grey and alpha": png(header(40, 30, 4), chunk(b"IDAT", zlib.compress(rows(40, 30, 4)))),
    "16 bits": png(header(40, 30, 0, depth=16), chunk(b"IDAT", zlib.compress(bytes(81 * 30)))),
    "4 bits": png(header(80, 30, 0, depth=4), chunk(b"IDAT", zlib.compress(bytes(41 * 30)))),
    "interlaced": cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1]
    .tobytes()
    .replace(header(8, 8), header(8, 8, interlace=INTERLACED)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_opencv_refuses_is_left_to_it(name: str) -> None:
    assert by_opencv(DAMAGED[name]) is None
    assert decode_plain(DAMAGED[name]) is None


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_left_to_opencv(name: str) -> None:
    assert decode_plain(ODD[name]) is None


def test_a_bomb_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(1 << 26), 9)
    assert decode_plain(png(header(64, 64), chunk(b"IDAT", bomb))) is None


def test_large_pictures_are_left_to_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(HEADER, PIXELS)
    monkeypatch.setattr("gateway.media.pictures.png._MOST_PIXELS", 40 * 30)
    assert decode_plain(data) is not None
    monkeypatch.setattr("gateway.media.pictures.png._MOST_PIXELS", 40 * 30 - 1)
    assert decode_plain(data) is None


def test_chunks_without_end_take_bounded_work() -> None:
    assert decode_plain(png(HEADER, *[chunk(b"teXt")] * 200_000, PIXELS)) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_damage_under_a_right_checksum_is_never_taken_for_a_picture(changes: list[tuple[int, int]]) -> None:
    stream = bytearray(STREAM)
    for at, value in changes:
        stream[at] = value
    data = png(HEADER, chunk(b"IDAT", bytes(stream)))
    pixels = decode_plain(data)
    # A window declared smaller than it is does not matter to ISA-L; every other byte does.
    assert pixels is None or np.array_equal(pixels, by_opencv(png(HEADER, PIXELS)))
