from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.uid import BasicTextSRStorage, RLELossless, SecondaryCaptureImageStorage, generate_uid

from gateway.errors import (
    ArchiveTooLarge,
    ArchiveUnsuitable,
    ImageTooLarge,
    ImageUnreadable,
    MaskgateError,
    ModalityUnsuitable,
    SeriesDuplicate,
    SeriesGap,
    SeriesMixed,
    SeriesUnsuitable,
)
from gateway.media.medical.archives import Archive, ArchiveLimits, open_archive
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.media.medical.series import read_series
from gateway.media.medical.slices import VolumeLimits
from tests.support.dicoms import compressed, ct, enhanced, ramp, saved, zipped

ARCHIVES = ArchiveLimits(members=50, member_bytes=1 << 20, total_bytes=8 << 20)
LIMITS = VolumeLimits(max_side=512, min_side=16, max_slices=20)

# Across a tilted table: no axis is the patient's, and no cosine a round number.
OBLIQUE = (0.9659258263, 0.2588190451, 0.0, -0.1830127019, 0.6830127019, 0.7071067812)


def series(count: int = 5, step: float = 1.25, orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)) -> list[bytes]:
    """Return the files of a series in spatial order."""
    normal = np.cross(orientation[:3], orientation[3:])
    return [
        saved(ct(ramp(seed=k), position=np.array([5, -7, 11]) + k * step * normal, orientation=orientation, instance=k))
        for k in range(1, count + 1)
    ]


def read(files: list[bytes], names: list[str] | None = None, **options: Any) -> DicomVolume:
    names = names or [f"IM{number}" for number in range(len(files))]
    return read_series(zipped(zip(names, files, strict=True), **options), ARCHIVES, LIMITS)


def step(volume: DicomVolume) -> float | None:
    """Return the distance between slices."""
    assert volume.spacing is not None
    return volume.spacing.slices


def seeds(volume: DicomVolume) -> list[int]:
    """Return the seed of each slice's ramp."""
    return [(int(one.pixels[0, 0]) + 1000) // 31 for one in volume.slices()]


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0), OBLIQUE], ids=["axial", "flipped", "oblique"]
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_slices_come_in_order_of_place_whatever_their_names(orientation: tuple[float, ...], method: int) -> None:
    files = series(orientation=orientation)
    shuffled = [files[number] for number in (3, 0, 4, 2, 1)]
    volume = read(shuffled, ["e", "d", "c", "b", "a"], method=method)
    assert seeds(volume) == [1, 2, 3, 4, 5]
    assert volume.shape == (5, 40, 56)
    assert step(volume) == pytest.approx(1.25, abs=1e-5)


def test_slices_can_be_asked_for_again() -> None:
    volume = read(series())
    assert seeds(volume) == seeds(volume)


def test_an_archive_is_read_from_a_view_and_behind_other_bytes() -> None:
    data = bytearray(b"a program that unpacks itself" + zipped((str(k), file) for k, file in enumerate(series())))
    assert seeds(read_series(memoryview(data), ARCHIVES, LIMITS)) == [1, 2, 3, 4, 5]


def test_one_slice_alone_is_a_series_too() -> None:
    volume = read(series(1))
    assert seeds(volume) == [1]
    assert step(volume) == 1.5


def test_what_is_no_image_is_passed_over_and_counted() -> None:
    report = saved(ct(PixelData=None, SOPClassUID=BasicTextSRStorage, Modality="SR"))
    files = [*series(2), report, b"read me", b"", b"junk"]
    names = ["a/1", "a/2", "a/report", "README", "DICOMDIR", "__MACOSX/a/._1"]
    assert read(files, names).notices == ("2 files without an image were passed over",)


def test_a_study_as_an_archive_exports_it_gives_its_slices() -> None:
    other = generate_uid()
    scout = saved(ct(SeriesInstanceUID=other, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], instance=50))
    screen = saved(ct(SOPClassUID=SecondaryCaptureImageStorage, SeriesInstanceUID=other, instance=51))
    positron = saved(ct(Modality="PT", SeriesInstanceUID=other, instance=52))
    sagittal = saved(ct(SeriesInstanceUID=generate_uid(), orientation=(0, 1, 0, 0, 0, -1), instance=53))
    program = zipped([("A.class", b"x")])
    bare = series(3)
    volume = read([bare[0], bare[1][128 + 4 :], bare[2], bare[0], scout, screen, positron, sagittal, program])
    assert seeds(volume) == [1, 2, 3]
    assert volume.notices == (
        "1 files that are scout views were passed over",
        "2 files of another kind than CT were passed over",
        "1 files without an image were passed over",
        "1 files of another series were passed over",
        "1 files there twice were passed over",
    )


def test_of_several_series_one_is_named_or_all_are_listed() -> None:
    other: dict[str, Any] = {"SeriesInstanceUID": "1.2.3", "SeriesNumber": 7}
    thin = series(3)
    thick = [saved(ct(ramp(seed=9), position=(5, -7, 11 + 5 * k), instance=90 + k, **other)) for k in range(2)]
    with pytest.raises(SeriesMixed, match="2 series") as refused:
        read([*thin, *thick])
    listed: Any = refused.value.members["series"]
    assert [(one["number"], one["slices"], one["axial"]) for one in listed] == [("3", 3, True), ("7", 2, True)]
    data = zipped((str(number), file) for number, file in enumerate([*thin, *thick]))
    for name in ("1.2.3", "7"):
        assert seeds(read_series(data, ARCHIVES, LIMITS, name)) == [9, 9]
    with pytest.raises(SeriesMixed, match="no series"):
        read_series(data, ARCHIVES, LIMITS, "8")


def test_what_one_file_leaves_empty_is_no_contradiction() -> None:
    said = [("Drawn^Chest", "19700101"), ("Drawn^Chest^^", ""), ("Drawn^Chest", "19700101")]
    files = [
        saved(ct(position=(5, -7, 12 + k), instance=8 + k, PatientName=name, PatientBirthDate=birth))
        for k, (name, birth) in enumerate(said)
    ]
    assert read(files).shape[0] == 3


def test_the_file_at_fault_is_numbered_and_not_named() -> None:
    files = series(3)
    with pytest.raises(ImageUnreadable, match=r"\(file 2 of 3 in the archive\)"):
        read([files[0], files[1][:-50], files[2]], ["a", "Quillfeather", "c"])


MIXED: dict[str, dict[str, Any]] = {
    "patients": {"PatientID": "other"},
    "patients of one number": {"PatientName": "Somebody^Else"},
    "studies": {"StudyInstanceUID": generate_uid()},
    "frames of reference": {"FrameOfReferenceUID": generate_uid()},
    "sizes": {"hounsfield": ramp(40, 40)},
    "orientations": {"orientation": (0, 1, 0, 1, 0, 0)},
    "pixel spacings": {"spacing": (0.7, 0.7)},
}


@pytest.mark.parametrize("what", MIXED)
def test_a_mixed_series_is_refused_by_name(what: str) -> None:
    stranger = saved(ct(position=(5, -7, 13), instance=9, **MIXED[what]))
    with pytest.raises(SeriesMixed, match=f"several {what.split(' of one')[0]}"):
        read([saved(ct(position=(5, -7, 12), instance=8)), stranger])


def test_a_missing_slice_is_a_gap_between_two_numbers() -> None:
    files = series(6)
    with pytest.raises(SeriesGap, match=r"Slices 3 and 4, .* 2\.50 mm apart, where 1\.25 mm"):
        read([*files[:3], *files[4:]])


def test_two_slices_in_one_place_are_refused() -> None:
    with pytest.raises(SeriesDuplicate, match="Slices 2 and 3"):
        read([*series(3), saved(ct(position=(5, -7, 13.5), instance=77))])


def test_two_files_of_one_identifier_that_differ_are_refused() -> None:
    files = series(3)
    changed = bytearray(files[0])
    changed[-1] ^= 1
    with pytest.raises(SeriesDuplicate, match="a slice twice, and not alike: its files 1 and 4"):
        read([*files, bytes(changed)])


def test_positions_may_be_rounded() -> None:
    positions = [0.0, 1.3, 2.5, 3.8, 5.0]
    files = [saved(ct(position=(0, 0, z), instance=k)) for k, z in enumerate(positions)]
    assert step(read(files)) == pytest.approx(1.25)


def test_multi_frame_files_are_to_come_by_themselves() -> None:
    with pytest.raises(SeriesUnsuitable, match="multi-frame"):
        read([saved(enhanced([ramp()] * 2, [(0, 0, 0), (0, 0, 1)]))])


def test_limits_count_slices_as_they_come() -> None:
    with pytest.raises(ImageTooLarge):
        read(series(21))


def test_a_broken_slice_is_found_before_the_first_is_decoded() -> None:
    files = series(3)
    with pytest.raises(MaskgateError, match="cut short"):
        read([*files[:2], files[2][:-50]])
    with pytest.raises(ModalityUnsuitable):
        read([saved(ct(Modality="MR"))])


def archive(data: bytes, limits: ArchiveLimits = ARCHIVES) -> Archive:
    return open_archive(data, limits)


def renamed(name: str) -> bytes:
    """Return a zip with a member of that name, which zipfile would not write as it is."""
    stand_in = "x" * len(name.encode())
    return zipped([(stand_in, b"content")]).replace(stand_in.encode(), name.encode())


def link() -> bytes:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    return zipped([(info, b"/etc/passwd")])


def encrypted() -> bytes:
    data = bytearray(zipped([("a", b"content")]))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def nested() -> bytes:
    return zipped([("inner.zip", zipped([("a", b"content")]))])


BAD_ARCHIVES: dict[str, tuple[Callable[[], bytes], type[MaskgateError]]] = {
    "climbs out": (lambda: renamed("../../etc/passwd"), ArchiveUnsuitable),
    "climbs out by backslashes": (lambda: renamed("..\\..\\boot.ini"), ArchiveUnsuitable),
    "climbs out from within": (lambda: renamed("a/../../b"), ArchiveUnsuitable),
    "is absolute": (lambda: renamed("/etc/passwd"), ArchiveUnsuitable),
    "names a drive": (lambda: renamed("C:\\boot.ini"), ArchiveUnsuitable),
    "links": (link, ArchiveUnsuitable),
    "is encrypted": (encrypted, ArchiveUnsuitable),
    "is of bzip2": (lambda: zipped([("a", b"content")], zipfile.ZIP_BZIP2), ArchiveUnsuitable),
    "is cut short": (lambda: zipped([("a", b"content")])[:-30], ArchiveUnsuitable),
    "is empty": (lambda: zipped([]), ArchiveUnsuitable),
    "is no archive": (lambda: b"PK\x03\x04" + b"\0" * 100, ArchiveUnsuitable),
    "holds an archive": (nested, ArchiveUnsuitable),
    "holds a gzip file": (lambda: zipped([("a.gz", b"\x1f\x8b\x08rest")]), ArchiveUnsuitable),
    "holds nothing of use": (lambda: zipped([("a.txt", b"content")]), ArchiveUnsuitable),
    "has too many files": (lambda: zipped((f"{k}", b"") for k in range(51)), ArchiveTooLarge),
    "has too large a file": (lambda: zipped([("a", b"\0" * ((1 << 20) + 1))]), ArchiveTooLarge),
    "unpacks to too much": (lambda: zipped((f"{k}", b"\0" * (1 << 20)) for k in range(9)), ArchiveTooLarge),
    "swells": (lambda: zipped((f"{k}", b"\0" * (1 << 20)) for k in range(5)), ArchiveTooLarge),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_bad_archives_are_refused_by_name(case: str) -> None:
    make, error = BAD_ARCHIVES[case]
    with pytest.raises(error) as caught:
        read_series(make(), ARCHIVES, LIMITS)
    assert type(caught.value) is error


def test_a_bomb_that_lies_about_its_size_is_cut_off() -> None:
    data = bytearray(zipped([("a", b"\0" * (1 << 22))]))
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 100)
    opened = archive(bytes(data))
    with pytest.raises(ArchiveUnsuitable):
        opened.read(opened.members[0])


def test_a_directory_larger_than_it_says_is_refused_unread() -> None:
    data = bytearray(zipped((f"{k:04}", b"") for k in range(2000)))
    struct.pack_into("<HH", data, len(data) - 14, 5, 5)
    with pytest.raises(ArchiveTooLarge):
        archive(bytes(data), ArchiveLimits(members=50, member_bytes=1, total_bytes=1))


def test_limits_are_met_exactly() -> None:
    data = zipped((f"{k}", b"x") for k in range(3))
    assert len(archive(data, ArchiveLimits(members=3, member_bytes=1, total_bytes=3)).members) == 3
    for limits in (ArchiveLimits(2, 1, 3), ArchiveLimits(3, 0, 3), ArchiveLimits(3, 1, 2)):
        with pytest.raises(ArchiveTooLarge):
            archive(data, limits)


class TestLargeFiles:
    """Of files longer than what is unpacked of them to judge them."""

    @staticmethod
    def large(count: int = 3, **attributes: Any) -> list[bytes]:
        return [
            saved(ct(ramp(200, 300, seed=k), position=(0, 0, k), instance=k, **attributes)) for k in range(1, count + 1)
        ]

    @staticmethod
    def whole_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
        unpacked, original = [], Archive.read

        def reading(self: Archive, member: zipfile.ZipInfo) -> bytes:
            unpacked.append(member.filename)
            return original(self, member)

        monkeypatch.setattr(Archive, "read", reading)
        return unpacked

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_uncompressed_pixels_are_unpacked_when_their_slice_is_due(
        self, monkeypatch: pytest.MonkeyPatch, method: int
    ) -> None:
        unpacked = self.whole_reads(monkeypatch)
        volume = read(self.large(), method=method)
        assert unpacked == []
        assert seeds(volume) == [1, 2, 3]
        assert len(unpacked) == 3

    def test_a_header_longer_than_that_is_read_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        unpacked = self.whole_reads(monkeypatch)
        assert seeds(read(self.large(ImageComments="x" * 9000, AdditionalPatientHistory="y" * 90_000))) == [1, 2, 3]
        assert len(unpacked) == 6

    def test_a_header_longer_than_most_is_read_by_unpacking_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        unpacked = self.whole_reads(monkeypatch)
        volume = read(self.large(ImageComments="x" * 9000))
        assert unpacked == []
        assert seeds(volume) == [1, 2, 3]

    def test_compressed_pixels_are_read_whole(self) -> None:
        rough = np.random.default_rng(0).integers(-1000, 1000, (200, 300)).astype(np.int16)
        file = saved(compressed(ct(rough), RLELossless))
        assert len(file) > 1 << 16
        (only,) = read([file]).slices()
        assert (only.pixels == rough).all()

    def test_pixels_damaged_in_the_zip_are_found_when_their_slice_is_due(self) -> None:
        data = bytearray(zipped([(str(n), file) for n, file in enumerate(self.large())], zipfile.ZIP_STORED))
        data[len(data) // 2] ^= 1
        volume = read_series(bytes(data), ARCHIVES, LIMITS)
        with pytest.raises(ArchiveUnsuitable, match="damaged"):
            list(volume.slices())

    def test_a_file_that_ends_within_its_pixels_is_refused_at_once(self) -> None:
        first, *others = self.large()
        with pytest.raises(ImageUnreadable, match="ends within its pixels"):
            read([first[:-1], *others])

    def test_a_file_that_is_no_dicom_is_passed_over_unread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        unpacked = self.whole_reads(monkeypatch)
        volume = read([*self.large(), bytes(200_000)])
        assert unpacked == []
        assert "1 files without an image were passed over" in volume.notices
