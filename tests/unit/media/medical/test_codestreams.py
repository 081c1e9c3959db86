from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from gateway.errors import CompressionUnsupported, ImageUnreadable
from gateway.media.medical.codestreams import Declared, declared_by_jpeg, declared_by_jpeg2000, declared_by_rle
from gateway.media.medical.dicom_ct import read_ct
from gateway.media.medical.slices import VolumeLimits
from gateway.media.medical.transfer_syntaxes import JPEG_EXTENDED
from tests.support.dicoms import ct, saved, wrapped


def picture(extension: str, rows: int = 90, columns: int = 150) -> memoryview:
    done, data = cv2.imencode(extension, np.full((rows, columns), 7, np.uint8))
    assert done
    return memoryview(data.tobytes())


def jpeg(bits: int, rows: int, columns: int, samples: int, marker: int = 0xC1) -> bytes:
    """Return the beginning of a JPEG stream, up to its frame header."""
    frame = struct.pack(">BHHB", bits, rows, columns, samples) + b"\x01\x11\x00" * samples
    return b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">H", len(frame) + 2) + frame


def test_pictures_declare_what_they_are() -> None:
    assert declared_by_jpeg(picture(".jpg")) == Declared(150, 90, 1, 8)
    assert declared_by_jpeg(memoryview(jpeg(12, 512, 300, 3))) == Declared(300, 512, 3, 12)
    assert declared_by_jpeg(memoryview(jpeg(16, 7, 9, 1, marker=0xF7))) == Declared(9, 7, 1, 16)


def test_jpeg_2000_is_read_bare_and_in_its_file_format() -> None:
    boxed = picture(".jp2")
    assert bytes(boxed[4:8]) == b"jP  "
    assert declared_by_jpeg2000(boxed) == Declared(150, 90, 1, 8)
    start = bytes(boxed).index(b"\xff\x4f\xff\x51")
    assert declared_by_jpeg2000(boxed[start:]) == Declared(150, 90, 1, 8)


@pytest.mark.parametrize("length", range(0, 200, 3))
def test_beginnings_cut_short_are_unreadable_or_tell_the_truth(length: int) -> None:
    for extension, read in ((".jpg", declared_by_jpeg), (".jp2", declared_by_jpeg2000)):
        try:
            declared = read(picture(extension)[:length])
        except ImageUnreadable:
            continue
        assert declared == Declared(150, 90, 1, 8)


def test_boxes_that_lead_nowhere_end() -> None:
    signature = bytes(picture(".jp2")[:12])
    for length in (0, 1, 7, 8, 0xFFFFFFFF):
        with pytest.raises(ImageUnreadable):
            declared_by_jpeg2000(memoryview(signature + struct.pack(">I4s", length, b"free") * 100))


def test_rle_declares_bytes_per_pixel() -> None:
    header = struct.pack("<16I", 2, 64, 70, *[0] * 13)
    assert declared_by_rle(memoryview(header + b"\0" * 10)) == 2
    for broken in (header[:63], header, struct.pack("<16I", 16, *[64] * 15) + b"\0", b"\x01" + b"\0" * 99):
        with pytest.raises(ImageUnreadable):
            declared_by_rle(memoryview(broken))


def test_jpeg_of_twelve_bits_with_losses_is_refused_by_name() -> None:
    stream = jpeg(12, 40, 56, 1) + b"\xff\xd9"
    volume = read_ct(saved(wrapped(ct(bits=12), [stream], JPEG_EXTENDED)), VolumeLimits(512, 16, 1))
    with pytest.raises(CompressionUnsupported, match="12 bits"):
        next(volume.slices())
