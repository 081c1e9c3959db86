"""Slices of a series that still arrives: what is found, in which order, and what is left to who reads the whole."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pydicom.uid import BasicTextSRStorage, RLELossless

from gateway.media.medical import series as series_module
from gateway.media.medical.archives import ArchiveLimits
from gateway.media.medical.arriving import ArrivingSeries
from gateway.media.medical.dicom import DicomHeader
from gateway.media.medical.series import read_series
from gateway.media.medical.series_files import header_of
from gateway.media.medical.slices import VolumeLimits
from tests.support.dicoms import compressed, ct, enhanced, ramp, saved, zipped

ARCHIVES = ArchiveLimits(members=50, member_bytes=1 << 20, total_bytes=8 << 20)
LIMITS = VolumeLimits(max_side=512, min_side=16, max_slices=20)
SAGITTAL = (0, 1, 0, 0, 0, -1)


def file(number: int, **attributes: Any) -> bytes:
    place: dict[str, Any] = {"position": (0, 0, number), "instance": number, "BodyPartExamined": "CHEST"}
    return saved(ct(ramp(seed=number), **(place | attributes)))


def archive(files: Sequence[bytes], **options: Any) -> bytes:
    return zipped(((f"IM{number}", content) for number, content in enumerate(files)), **options)


def seeds(arriving: ArrivingSeries, data: bytearray, count: int = 50) -> list[int]:
    """Return the seed of each slice that lies there, as `ready` and `slices` find them."""
    if not arriving.ready(data, count):
        return []
    return [(int(one.pixels[0, 0]) + 1000) // 31 for _, one in arriving.slices(data, count)]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("piece", [37, 5_000, 1 << 20])
def test_each_slice_is_found_once_as_soon_as_it_is_there(method: int, piece: int) -> None:
    whole = archive([file(number) for number in (3, 1, 2)], method=method)
    arriving, data, found = ArrivingSeries(ARCHIVES, LIMITS), bytearray(), []
    for at in range(0, len(whole), piece):
        data += whole[at : at + piece]
        found += seeds(arriving, data, 1)
        if found:
            assert zipfile.ZipFile(BytesIO(whole)).infolist()[len(found) - 1].header_offset < len(data)
    while more := seeds(arriving, data, 1):
        found += more
    assert found == [3, 1, 2]
    assert arriving.closed


def test_a_slice_is_found_before_the_rest_is_there() -> None:
    whole = archive([file(number) for number in (1, 2, 3)])
    arriving = ArrivingSeries(ARCHIVES, LIMITS)
    second = zipfile.ZipFile(BytesIO(whole)).infolist()[1].header_offset
    assert seeds(arriving, bytearray(whole[: second - 1]), 1) == []
    assert seeds(arriving, bytearray(whole[:second]), 1) == [1]


def test_what_arrives_may_grow_while_a_slice_is_decoded() -> None:
    whole = archive([file(1), file(2)])
    arriving, data = ArrivingSeries(ARCHIVES, LIMITS), bytearray(whole)
    assert arriving.ready(data, 2)
    for _ in arriving.slices(data, 2):
        data += b"more"  # a view of it would forbid that


def test_who_reads_the_whole_reads_no_header_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archive([file(number) for number in (3, 1, 2)])
    arriving = ArrivingSeries(ARCHIVES, LIMITS)
    assert arriving.ready(bytearray(whole), 2)
    headers = [header for header, _ in arriving.slices(bytearray(whole), 2)]
    read: list[object] = []

    def counted(*given: Any) -> DicomHeader:
        read.append(given)
        return header_of(*given)

    monkeypatch.setattr(series_module, "header_of", counted)
    volume = read_series(whole, ARCHIVES, LIMITS, known=arriving.known)
    assert len(read) == 1
    assert [source.header for source in volume.sources][::2] == [headers[1], headers[0]]
    assert len(arriving.known) == 3
    for source, one in zip(volume.sources, volume.slices(), strict=True):
        assert int(one.pixels[0, 0]) == int(ramp(seed=int(source.frame.plane.origin[2]))[0, 0])  # type: ignore[union-attr]


def test_a_file_that_the_directory_has_otherwise_is_read_again() -> None:
    whole = bytearray(archive([file(1), file(2)], method=zipfile.ZIP_STORED))
    arriving = ArrivingSeries(ARCHIVES, LIMITS)
    first = zipfile.ZipFile(BytesIO(bytes(whole))).infolist()[0]
    struct.pack_into("<I", whole, first.header_offset + 14, 1)  # the checksum before the file, not the directory's
    assert seeds(arriving, whole) == [2]
    assert read_series(bytes(whole), ARCHIVES, LIMITS, known=arriving.known).shape[0] == 2


def test_what_is_no_slice_of_the_series_is_left_out() -> None:
    report = ct(SOPClassUID=BasicTextSRStorage, Modality="SR")
    others = [
        saved(report),
        b"README",
        file(7, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        file(8, orientation=SAGITTAL),
        saved(enhanced([ramp(), ramp()], [(0, 0, 0), (0, 0, 1)], BodyPartExamined="CHEST")),
        file(9, RescaleType="US"),
        file(1),
        file(2),
        saved(ct(ramp(24, 24), position=(0, 0, 3), BodyPartExamined="CHEST")),
        file(10)[:3000],
    ]
    assert seeds(ArrivingSeries(ARCHIVES, LIMITS), bytearray(archive(others))) == [1, 2]


@pytest.mark.parametrize(
    ("attributes", "stated", "found"),
    [
        ({"BodyPartExamined": "HEAD"}, None, []),
        ({"BodyPartExamined": "HEAD"}, "chest", [1]),
        ({"orientation": SAGITTAL}, None, []),
    ],
)
def test_what_would_be_refused_or_asked_for_by_name_is_not_begun_with(
    attributes: dict[str, Any], stated: Any, found: list[int]
) -> None:
    data = bytearray(archive([file(1, **attributes)]))
    assert seeds(ArrivingSeries(ARCHIVES, LIMITS, stated=stated), data) == found


def test_of_several_series_the_named_one_is_taken_and_without_a_name_none_to_its_end() -> None:
    files = [file(number, SeriesInstanceUID=f"1.2.{number % 2}", SeriesNumber=40 + number % 2) for number in range(6)]
    data = bytearray(archive(files))
    assert seeds(ArrivingSeries(ARCHIVES, LIMITS, "1.2.1"), data) == [1, 3, 5]
    assert seeds(ArrivingSeries(ARCHIVES, LIMITS, "40"), data) == [0, 2, 4]
    unnamed = ArrivingSeries(ARCHIVES, LIMITS)
    assert [seeds(unnamed, data, 1) for _ in range(4)] == [[0], [], [], []]
    assert unnamed.closed


def test_compressed_slices_are_found_too() -> None:
    files = [saved(compressed(ct(ramp(seed=1), BodyPartExamined="CHEST"), RLELossless))]
    assert seeds(ArrivingSeries(ARCHIVES, LIMITS), bytearray(archive(files))) == [1]


def _told_behind(whole: bytearray) -> None:
    whole[6] |= 0x8  # the sizes come behind the file


def _encrypted(whole: bytearray) -> None:
    whole[6] |= 0x1


def _large(whole: bytearray) -> None:
    struct.pack_into("<I", whole, 18, 0xFFFFFFFF)  # zip64


def _no_zip(whole: bytearray) -> None:
    whole[:4] = b"\0\0\0\0"


@pytest.mark.parametrize("change", [_told_behind, _encrypted, _large, _no_zip])
def test_archives_that_do_not_say_where_a_file_ends_are_left_alone(change: Any) -> None:
    whole = bytearray(archive([file(1), file(2)]))
    change(whole)
    arriving = ArrivingSeries(ARCHIVES, LIMITS)
    assert seeds(arriving, whole) == []
    assert arriving.closed


@pytest.mark.parametrize("limits", [{"members": 1}, {"member_bytes": 100}, {"total_bytes": 6000}])
def test_no_more_is_looked_at_than_is_unpacked(limits: dict[str, int]) -> None:
    data = bytearray(archive([file(1), file(2)]))
    arriving = ArrivingSeries(replace(ARCHIVES, **limits), LIMITS)
    assert len(seeds(arriving, data)) < 2
    assert arriving.closed


def test_each_file_is_looked_at_once_however_many_pieces_bring_it() -> None:
    """So that work grows with the series, and not with its square."""
    heads: list[int] = []

    class Counted(bytearray):
        def __getitem__(self, key: Any) -> Any:
            if isinstance(key, slice):
                heads.append(key.stop - key.start)
            return super().__getitem__(key)

    whole = archive([file(number) for number in range(12)])
    arriving, data = ArrivingSeries(ARCHIVES, LIMITS), Counted()
    for at in range(0, len(whole), 500):
        data += whole[at : at + 500]
        seeds(arriving, data, 1)
    while seeds(arriving, data, 1):
        pass
    assert len(heads) == 12
    assert sum(heads) < len(whole)
