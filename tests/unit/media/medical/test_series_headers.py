from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from gateway.errors import MaskgateError
from gateway.media.medical import series_headers
from gateway.media.medical.dicom import DicomHeader, read_header
from gateway.media.medical.dicom_ct import ct_frames, moved_frame
from gateway.media.medical.series_headers import SeriesHeaders
from tests.support.dicoms import compressed, ct, enhanced, ramp, saved, saved_as

Write = Callable[..., bytes]


def written(number: int, **attributes: Any) -> bytes:
    return saved(drawn(number, **attributes))


def drawn(number: int, **attributes: Any) -> Any:
    position = (-10.0, -20.0, 1.25 * number - 100)
    given: dict[str, Any] = {"BodyPartExamined": "CHEST", "SliceLocation": position[2]} | attributes
    return ct(ramp(seed=number), position=position, instance=number, **given)


def same(one: DicomHeader, other: DicomHeader) -> bool:
    """Return whether two headers say the same, and of the same types."""
    names = [field.name for field in fields(DicomHeader) if field.name not in ("kin", "dataset")]
    types = [[(e.tag, e.VR, type(e.value)) for e in header.dataset] for header in (one, other)]
    return (
        all(getattr(one, name) == getattr(other, name) for name in names)
        and one.dataset == other.dataset
        and types[0] == types[1]
    )


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the lengths of the files whose headers were parsed."""
    lengths: list[int] = []

    def counted(data: bytes, *arguments: Any, **named: Any) -> DicomHeader:
        lengths.append(len(data))
        return read_header(data, *arguments, **named)

    monkeypatch.setattr(series_headers, "read_header", counted)
    return lengths


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda n: saved_as(drawn(n), ExplicitVRLittleEndian), id="explicit"),
        pytest.param(lambda n: saved_as(drawn(n), ImplicitVRLittleEndian), id="implicit"),
        pytest.param(lambda n: saved_as(drawn(n), ExplicitVRBigEndian), id="big endian"),
        pytest.param(lambda n: saved(compressed(drawn(n), RLELossless)), id="compressed"),
    ],
)
def test_one_header_of_a_series_is_parsed_and_all_are_as_if_each_were(write: Write, parsed: list[int]) -> None:
    headers, files = SeriesHeaders(), [write(number) for number in (1, 2, 90, 100, 3000)]
    read = [headers.read(file) for file in files]
    assert len(parsed) == 1
    assert all(same(header, read_header(file)) for header, file in zip(read, files, strict=True))
    assert all(header.kin is read[0].kin for header in read)
    assert len({str(header.dataset.SOPInstanceUID) for header in read}) == len(files)


def test_what_is_not_read_may_differ(parsed: list[int]) -> None:
    nested = Dataset()
    nested.CodeValue = "1"
    headers = SeriesHeaders()
    headers.read(written(1))
    other = written(2, AcquisitionTime="101112.25", ImageComments="of the second", ProcedureCodeSequence=[nested] * 3)
    assert same(headers.read(other), read_header(other))
    assert len(parsed) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientName": "Other"},
        {"SpecificCharacterSet": "ISO_IR 100"},
        {"RescaleType": None},
        {"RescaleIntercept": -1000},
        {"PixelPaddingValue": 0},
        {"SliceThickness": 2.0},
        {"LossyImageCompression": "01"},
        {"ImagePositionPatient": None},
        {"SOPInstanceUID": None},
        {"Modality": "MR"},
    ],
    ids=lambda attributes: next(iter(attributes)),
)
def test_a_file_that_says_anything_else_is_parsed(attributes: dict[str, Any], parsed: list[int]) -> None:
    headers, other = SeriesHeaders(), written(2, **attributes)
    first = headers.read(written(1))
    header = headers.read(other)
    assert same(header, read_header(other))
    assert header.kin is not first.kin
    assert len(parsed) == 2
    # It is what the next are compared with.
    assert headers.read(written(3, **attributes)).kin is header.kin


def test_files_of_other_sizes_or_syntaxes_are_parsed(parsed: list[int]) -> None:
    files = [
        written(1),
        saved(ct(ramp(32, 32), BodyPartExamined="CHEST")),
        saved_as(drawn(1), ImplicitVRLittleEndian),
        saved(enhanced([ramp()], [(0, 0, 1)])),
        saved(enhanced([ramp()], [(0, 0, 2)])),
    ]
    headers = SeriesHeaders()
    assert all(same(headers.read(file), read_header(file)) for file in files)
    assert len(parsed) == len(files)


def test_of_one_kin_the_judge_has_judged_once() -> None:
    headers, judged = SeriesHeaders(), []
    for number in range(3):
        headers.read(written(number), judge=lambda dataset: judged.append(dataset.Modality))
    assert judged == ["CT"]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def test_damage_anywhere_is_met_as_in_a_file_by_itself(syntax: str) -> None:
    """A byte of the second file's header is changed: it is read, or refused, as though it were the first."""
    first, second = (saved_as(drawn(number), syntax) for number in (1, 2))
    header_bytes, random = len(second) - 2 * 40 * 56, np.random.default_rng(0)
    outcomes = set()
    for at in range(128, header_bytes):
        damaged = bytearray(second)
        damaged[at] = random.choice([0, 255, ord("0"), ord("-"), damaged[at] ^ 1, damaged[at] ^ 0x20])
        headers = SeriesHeaders()
        headers.read(first)
        alone, after = outcome(read_header, bytes(damaged)), outcome(headers.read, bytes(damaged))
        if isinstance(alone, DicomHeader):
            assert isinstance(after, DicomHeader), at
            assert same(alone, after), at
        else:
            assert after == alone, at
        outcomes.add(type(alone).__name__)
    assert outcomes == {"DicomHeader", "tuple"}


def outcome(read: Callable[[bytes], DicomHeader], data: bytes) -> DicomHeader | tuple[str, str]:
    try:
        return read(data)
    except MaskgateError as error:
        return type(error).__name__, error.detail


@pytest.mark.parametrize("size", [None, 1])
def test_a_file_cut_short_is_refused_as_by_itself(size: int | None) -> None:
    headers, cut = SeriesHeaders(), written(2)[:-2]
    headers.read(written(1))
    alone = outcome(lambda data: read_header(data, size and len(cut)), cut)
    assert isinstance(alone, tuple)
    assert outcome(lambda data: headers.read(data, size and len(cut)), cut) == alone


class TestPlaces:
    """The frame of a file of one kin is that of the other, moved."""

    def test_a_moved_frame_is_the_one_that_the_file_has(self) -> None:
        headers = SeriesHeaders()
        first, second = (headers.read(written(number)) for number in (1, 7))
        (frame,) = ct_frames(first)
        assert moved_frame(frame, second) == ct_frames(second)[0]

    @pytest.mark.parametrize("position", [["1", "2"], ["1", "2", "inf"], ["1", "2", "nan"]], ids=str)
    def test_what_is_no_place_is_refused_alike(self, position: list[str]) -> None:
        headers = SeriesHeaders()
        dataset = drawn(2)
        dataset.ImagePositionPatient = ["1", "2", "3"]
        first = headers.read(written(1))
        odd = saved(dataset).replace(_position("1\\2\\3"), _position("\\".join(position)))
        header = headers.read(odd)
        refusals = []
        for read in (lambda: ct_frames(header), lambda: moved_frame(ct_frames(first)[0], header)):
            with pytest.raises(MaskgateError) as refused:
                read()
            refusals.append((type(refused.value), refused.value.detail))
        assert refusals[0] == refusals[1]

    def test_an_empty_place_is_none(self) -> None:
        headers = SeriesHeaders()
        first = headers.read(written(1))
        header = headers.read(written(2, ImagePositionPatient=""))
        assert moved_frame(ct_frames(first)[0], header) is None


def _position(value: str) -> bytes:
    """Return the element of a position as a file of explicit types has it."""
    text = value.encode() + b" " * (len(value) % 2)
    return b"\x20\x00\x32\x00DS" + len(text).to_bytes(2, "little") + text
