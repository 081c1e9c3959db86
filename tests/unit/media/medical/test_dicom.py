from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_voi_lut
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from gateway.errors import (
    ArchiveUnsuitable,
    BodyPartUnsuitable,
    ColourUnsuitable,
    CompressionUnsupported,
    GeometryUnsuitable,
    ImageTooLarge,
    ImageUnreadable,
    ImageUnsuitable,
    MaskgateError,
    ModalityUnsuitable,
    PixelsMissing,
    SeriesDuplicate,
)
from gateway.media.medical.body_part import require_chest
from gateway.media.medical.dicom import read_header
from gateway.media.medical.dicom_ct import DicomVolume, read_ct
from gateway.media.medical.dicom_pixels import stored_values
from gateway.media.medical.radiographs import open_film
from gateway.media.medical.slices import PADDING_HU, VolumeLimits
from gateway.media.medical.transfer_syntaxes import as_plain_file, is_dicom, meta_information
from gateway.media.pictures.images import ImageLimits
from tests.support import places
from tests.support.dicoms import (
    baseline_jpeg,
    compressed,
    ct,
    enhanced,
    film,
    lossless_jpeg,
    ramp,
    saved,
    saved_as,
    wrapped,
)
from tests.support.places import ROOT

LIMITS = VolumeLimits(max_side=4096, min_side=16, max_slices=50)
SIDES = ImageLimits(max_pixels=4096**2, max_side=4096, min_side=16)


def hounsfield(data: bytes) -> NDArray[np.int16]:
    (only,) = read_ct(data, LIMITS).slices()
    return only.pixels


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"signed": True, "intercept": 0},
        {"signed": True, "intercept": 0, "bits": 12},
        {"bits": 12},
        {"bits": 12, "allocated": 32},
        {"slope": 2.5, "intercept": -1000},
        {"allocated": 32, "bits": 32, "signed": True},
    ],
    ids=str,
)
def test_stored_values_of_any_depth_and_sign_become_hounsfield_units(kind: dict[str, Any]) -> None:
    expected = ramp()
    decoded = hounsfield(saved(ct(expected, **kind)))
    assert decoded.dtype == np.int16
    assert np.abs(decoded - expected).max() <= (1.25 if "slope" in kind else 0)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda syntax: syntax.name)
def test_lossless_transfer_syntaxes_give_the_values_back(syntax: str, signed: bool) -> None:
    dataset = ct(signed=signed, intercept=0 if signed else -1024, bits=16)
    assert (hounsfield(saved(compressed(dataset, syntax))) == ramp()).all()


def test_lossless_jpeg_gives_the_values_back(tmp_path: Path) -> None:
    pytest.importorskip("gdcm")
    data = lossless_jpeg(saved(ct()), tmp_path)
    assert read_header(data).syntax == JPEGLosslessSV1
    assert (hounsfield(data) == ramp()).all()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda syntax: syntax.name)
def test_uncompressed_values_come_in_every_order_of_bytes(syntax: str) -> None:
    assert (hounsfield(saved_as(ct(), syntax)) == ramp()).all()


def test_baseline_jpeg_of_eight_bits_is_decoded_nearly() -> None:
    y, x = np.mgrid[:40, :56]
    values = 2 * y + 3 * x
    data = saved(baseline_jpeg(ct(values, bits=8, allocated=8, intercept=0)))
    assert np.abs(hounsfield(data) - values).max() <= 4


def test_a_frame_in_several_fragments_is_joined() -> None:
    dataset = compressed(ct(), JPEGLSLossless)
    data = saved(dataset)
    header = read_header(data)
    ((start, stop),) = header.frames[0]
    dataset = wrapped(dataset, [data[start:stop]], JPEGLSLossless, fragments_per_frame=3)
    data = saved(dataset)
    assert len(read_header(data).frames[0]) == 3
    assert (hounsfield(data) == ramp()).all()


@pytest.mark.parametrize("fragments", [1, 2])
def test_compressed_frames_are_told_apart_by_fragments_or_by_table(fragments: int) -> None:
    slices = [ramp(seed=seed) for seed in range(3)]
    codes = []
    for pixels in slices:
        data = saved(compressed(ct(pixels), JPEGLSLossless))
        ((start, stop),) = read_header(data).frames[0]
        codes.append(data[start:stop])
    dataset = enhanced(slices, [(0, 0, height) for height in (4, 0, 2)])
    volume = read_ct(saved(wrapped(dataset, codes, JPEGLSLossless, fragments_per_frame=fragments)), LIMITS)
    assert [(one.pixels == slices[number]).all() for one, number in zip(volume.slices(), (1, 2, 0), strict=True)]


def test_old_overlays_in_the_upper_bits_are_no_values() -> None:
    dataset = ct(bits=12)
    stored = np.frombuffer(dataset.PixelData, "<u2") | 0xF000
    dataset.PixelData = stored.astype("<u2").tobytes()
    assert (hounsfield(saved(dataset)) == ramp()).all()


@pytest.mark.parametrize("intercept", [-1024, 0, 1, -32768, -40000, 40000])
@pytest.mark.parametrize(("signed", "ends"), [(False, (0, 4095)), (False, (0, 65535)), (True, (-32768, 32767))])
def test_whole_values_are_exact_and_those_beyond_16_bits_are_counted(
    intercept: int, signed: bool, ends: tuple[int, int]
) -> None:
    stored = np.linspace(*ends, 40 * 56).astype(np.int64).reshape(40, 56)
    dataset = ct(intercept=intercept, signed=signed)
    dataset.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    (only,) = read_ct(saved(dataset), LIMITS).slices()
    units = stored + intercept
    assert (only.pixels == np.clip(units, -32768, 32767)).all()
    assert only.pixels.dtype == np.int16
    assert only.clipped == np.count_nonzero((units < -32768) | (units > 32767))


@pytest.mark.parametrize("limit", [None, 10])
def test_padding_is_black_in_any_window(limit: int | None) -> None:
    values = ramp()
    values[0, :3] = (-1024 + 5, -1024 + 8, -1024 + 10)
    options: dict[str, Any] = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    decoded = hounsfield(saved(ct(values, PixelPaddingValue=5, **options)))
    assert decoded[0, :3].tolist() == ([PADDING_HU, -1016, -1014] if limit is None else [PADDING_HU] * 3)
    assert (decoded[1:] == values[1:]).all()


def test_frames_of_a_multi_frame_file_come_in_spatial_order() -> None:
    slices = [ramp(seed=seed) for seed in range(4)]
    volume = read_ct(saved(enhanced(slices, [(0, 0, height) for height in (9, 3, 6, 0)])), LIMITS)
    assert volume.shape == (4, 40, 56)
    assert volume.spacing is not None
    assert volume.spacing.slices == pytest.approx(3)
    assert [int(one.pixels[0, 0]) for one in volume.slices()] == [int(slices[k][0, 0]) for k in (3, 1, 2, 0)]


def test_two_frames_in_one_place_are_refused() -> None:
    with pytest.raises(SeriesDuplicate):
        read_ct(saved(enhanced([ramp()] * 2, [(0, 0, 1)] * 2)), LIMITS)


REFUSED: dict[str, tuple[Any, type[MaskgateError]]] = {
    "no pixels": (lambda: saved(ct(PixelData=None)), PixelsMissing),
    "a PDF": (lambda: saved(ct(PixelData=None, SOPClassUID=EncapsulatedPDFStorage)), PixelsMissing),
    "not DICOM": (lambda: b"\x89PNG" + b"\0" * 400, ImageUnreadable),
    "empty": (lambda: b"", ImageUnreadable),
    "header alone": (lambda: saved(ct())[:200], ImageUnreadable),
    "cut within the header": (lambda: saved(ct())[:700], PixelsMissing),
    "cut within the pixels": (lambda: saved(ct())[:-100], ImageUnreadable),
    "more rows than pixels": (lambda: saved(ct(Rows=41)), ImageUnreadable),
    "fewer rows than pixels": (lambda: saved(ct(Rows=39)), ImageUnreadable),
    "rows and columns of 65535": (lambda: saved(ct(Rows=65535, Columns=65535)), ImageUnreadable),
    "frames that are not there": (lambda: saved(ct(NumberOfFrames=2)), ImageUnreadable),
    "no rows": (lambda: saved(ct(Rows=0)), ImageUnreadable),
    "bits that contradict": (lambda: saved(ct(BitsStored=17)), ImageUnreadable),
    "a single bit": (lambda: saved(ct(BitsAllocated=1)), ImageUnsuitable),
    "colour": (lambda: saved(ct(SamplesPerPixel=3, PhotometricInterpretation="RGB")), ColourUnsuitable),
    "a palette": (lambda: saved(ct(PhotometricInterpretation="PALETTE COLOR")), ColourUnsuitable),
    "an MR": (lambda: saved(ct(Modality="MR")), ModalityUnsuitable),
    "a scout": (lambda: saved(ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])), ImageUnsuitable),
    "frames without positions": (
        lambda: saved(enhanced([ramp()] * 2, [(0, 0, 0), (0, 0, 1)], PerFrameFunctionalGroupsSequence=None)),
        GeometryUnsuitable,
    ),
    "a screen of a CT": (lambda: saved(ct(SOPClassUID=SecondaryCaptureImageStorage)), ModalityUnsuitable),
    "percent of HU": (lambda: saved(ct(RescaleType="PCT")), ImageUnsuitable),
    "an iodine map": (lambda: saved(ct(RescaleType="US", ImageType=["DERIVED", "PRIMARY", "AXIAL"])), ImageUnsuitable),
    "a perfusion map": (lambda: saved(ct(ImageType=["DERIVED", "PRIMARY", "PERFUSION", "RCBF"])), ImageUnsuitable),
    "an MR too small": (lambda: saved(ct(ramp(8, 8), Modality="MR")), ModalityUnsuitable),
    "an MR in colour": (lambda: saved(ct(Modality="MR", PhotometricInterpretation="RGB")), ModalityUnsuitable),
    "an orientation that is none": (lambda: saved(ct(orientation=(1, 0, 0, 1, 0, 0))), GeometryUnsuitable),
    "spacing of zero": (lambda: saved(ct(spacing=(0, 1))), GeometryUnsuitable),
    "no rescale": (lambda: saved(ct(RescaleSlope=None)), ImageUnsuitable),
    "a slope of zero": (lambda: saved(ct(RescaleSlope=0)), ImageUnsuitable),
    "too long a side": (lambda: saved(ct(ramp(17, 4097))), ImageTooLarge),
    "too short a side": (lambda: saved(ct(ramp(15, 40))), ImageUnsuitable),
    "too many frames": (lambda: saved(enhanced([ramp(16, 16)] * 51, [(0, 0, k) for k in range(51)])), ImageTooLarge),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_ct_slice_is_refused_by_name(case: str) -> None:
    make, error = REFUSED[case]
    with pytest.raises(error) as caught:
        read_ct(make(), LIMITS)
    assert type(caught.value) is error


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.3"])
def test_other_transfer_syntaxes_are_refused_before_anything_is_inflated(syntax: str) -> None:
    dataset = wrapped(ct(), [b"\0" * 100], "1.2.840.10008.1.2.4.50")
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    with pytest.raises(CompressionUnsupported):
        read_ct(saved(dataset).replace(b"1.2.840.10008.1.2.4.50", syntax.encode()), LIMITS)


def test_what_a_file_is_tells_more_than_how_it_is_compressed() -> None:
    mr = saved(ct(Modality="MR")).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")
    with pytest.raises(ModalityUnsuitable):
        read_ct(mr, LIMITS)


def test_another_part_of_the_body_tells_more_than_the_size() -> None:
    with pytest.raises(BodyPartUnsuitable):
        read_ct(saved(ct(ramp(3, 3), BodyPartExamined="HEAD")), LIMITS)
    with pytest.raises(BodyPartUnsuitable):
        open_film(saved(film(ramp(3, 3) + 1000, BodyPartExamined="CSPINE", ViewPosition="LL")), SIDES)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("rows", [39, 41, 60_000])
def test_a_codestream_of_another_size_never_meets_its_decoder(
    syntax: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = compressed(ct(), syntax)
    if syntax == RLELossless:  # which says of how many bytes a pixel is, and not of what size the picture
        dataset.BitsAllocated = 8
        dataset.BitsStored, dataset.HighBit = 8, 7
    else:
        dataset.Rows = rows
    monkeypatch.setattr("gateway.media.medical.dicom_pixels._decompressed", lambda *_: pytest.fail("was decoded"))
    volume = read_ct(saved(dataset), VolumeLimits(65535, 1, 1))
    with pytest.raises(ImageUnreadable):
        next(volume.slices())


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda syntax: syntax.name)
def test_damaged_codestreams_are_unreadable_or_wrong_but_never_a_crash(syntax: str) -> None:
    data = saved(compressed(ct(), syntax))
    ((start, stop),) = read_header(data).frames[0]
    generator = np.random.default_rng(0)
    for _ in range(20):
        damaged = bytearray(data)
        for at in generator.integers(start, stop, 8):
            damaged[at] ^= int(generator.integers(1, 256))
        with suppress(ImageUnreadable):
            assert hounsfield(bytes(damaged)).shape == (40, 56)


def test_every_truncation_is_refused() -> None:
    data = saved(compressed(ct(), JPEGLSLossless))
    for length in range(0, len(data) - 8, 37):
        with pytest.raises(MaskgateError):
            hounsfield(data[:length])


@pytest.mark.parametrize(
    ("attributes", "part"),
    [
        ({}, "unstated"),
        ({"BodyPartExamined": "CHEST"}, "chest"),
        ({"BodyPartExamined": "Thorax "}, "chest"),
        ({"BodyPartExamined": "LEG"}, "other"),
        ({"BodyPartExamined": "SCRIBE"}, "other"),
        ({"BodyPartExamined": "TORAX"}, "chest"),
        ({"BodyPartExamined": "CAP"}, "chest"),
        ({"BodyPartExamined": "WHOLEBODY"}, "chest"),
        ({"BodyPartExamined": "CHEST_TO_PELVIS"}, "chest"),
        ({"BodyPartExamined": "NECKCHESTABDPELV"}, "chest"),
        ({"BodyPartExamined": "ABDOMEN"}, "other"),
    ],
)
def test_the_body_part_is_one_of_three(attributes: dict[str, Any], part: str) -> None:
    volume = read_ct(saved(ct(**attributes)), LIMITS, "chest")
    assert volume.body_part == part


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("816094009", "chest"),
        ("416550000", "chest"),
        ("416775004", "chest"),
        ("417437006", "chest"),
        ("69536005", "other"),
    ],
)
def test_frames_tell_the_body_part_by_code(code: str, part: str) -> None:
    region, anatomy = Dataset(), Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = code, "SCT", "a region"
    anatomy.AnatomicRegionSequence = [region]
    dataset = enhanced([ramp()] * 2, [(0, 0, 0), (0, 0, 1)])
    dataset.PerFrameFunctionalGroupsSequence[1].FrameAnatomySequence = [anatomy]
    assert read_ct(saved(dataset), LIMITS, "chest").body_part == part


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_films_follow_their_window_function_as_pydicom_does(function: str) -> None:
    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    dataset = film(stored, WindowCenter=2000, WindowWidth=900, VOILUTFunction=function)
    expected = np.clip(apply_voi_lut(stored, dataset) / 4095, 0, 1) * 255
    assert np.abs(open_film(saved(dataset), SIDES).decode().pixels - expected).max() <= 0.51


def test_padding_of_a_film_takes_no_part_and_is_black() -> None:
    stored = np.arange(1000, 1000 + 32 * 32).reshape(32, 32)
    stored[:, :4] = 0
    seen = open_film(saved(film(stored, PixelPaddingValue=0)), SIDES).decode()
    inside = stored[:, 4:].astype(float)
    expected = (inside - inside.min()) / (inside.max() - inside.min()) * 255
    assert not seen.pixels[:, :4].any()
    assert np.abs(seen.pixels[:, 4:] - expected).max() <= 0.51
    assert any("padding" in notice for notice in seen.notices)


def test_a_slice_without_a_place_is_read_and_said_so() -> None:
    for missing in ("ImagePositionPatient", "ImageOrientationPatient"):
        dataset = ct()
        delattr(dataset, missing)
        volume = read_ct(saved(dataset), LIMITS)
        assert (hounsfield(saved(dataset)) == ramp()).all()
        assert volume.affine is None
        assert "the file does not say where its slice lies" in volume.notices


def test_what_is_derived_is_said() -> None:
    kinds = ["DERIVED", "SECONDARY", "AXIAL", "MIP"]
    assert "a maximum intensity projection" in read_ct(saved(ct(ImageType=kinds)), LIMITS).notices[0]
    unspecified = read_ct(saved(ct(RescaleType="US")), LIMITS)
    assert "does not say that its values are Hounsfield units" in unspecified.notices[0]
    assert not unspecified.states_units


def test_losses_are_told_by_the_codestream_and_not_by_the_tag() -> None:
    picture = ct(ramp() // 8 + 128, bits=8, allocated=8, intercept=0)
    lossy = baseline_jpeg(picture)
    lossy.LossyImageCompression = "00"
    assert read_ct(saved(lossy), LIMITS).sources[0].header.lossy
    for syntax in (JPEGLSLossless, JPEG2000Lossless):
        assert not read_ct(saved(compressed(ct(), syntax)), LIMITS).sources[0].header.lossy


def test_files_without_preamble_or_deflated_are_read() -> None:
    data = saved(ct())
    whole = as_plain_file(data, 1 << 20)
    assert whole is data
    for bare in (data[132:], data[132 + len(data[132:].split(b"\x08\x00\x05\x00")[0]) :]):
        assert is_dicom(bare)
        assert (hounsfield(as_plain_file(bare, 1 << 20)) == ramp()).all()
    deflated = saved_as(ct(), DeflatedExplicitVRLittleEndian)
    assert (hounsfield(as_plain_file(deflated, 1 << 20)) == ramp()).all()
    big = saved_as(ct(SpecificCharacterSet="ISO_IR 192"), ExplicitVRBigEndian)
    bare = big[meta_information(big)[1] :]
    assert is_dicom(bare)
    assert (hounsfield(as_plain_file(bare, 1 << 20)) == ramp()).all()
    with pytest.raises(ImageTooLarge):
        as_plain_file(deflated, 1000)


def test_bytes_behind_the_pixels_are_no_pixels() -> None:
    dataset = ct()
    dataset.PixelData += bytes(4)
    assert (hounsfield(saved(dataset)) == ramp()).all()


def test_fragments_without_a_table_are_told_apart_by_their_codestreams() -> None:
    slices = [ramp(seed=seed) for seed in range(3)]
    codes = []
    for pixels in slices:
        data = saved(compressed(ct(pixels), JPEGLSLossless))
        ((start, stop),) = read_header(data).frames[0]
        codes.append(data[start:stop])
    dataset = enhanced(slices, [(0, 0, height) for height in (4, 0, 2)])
    data = saved(wrapped(dataset, codes, JPEGLSLossless, fragments_per_frame=2, has_bot=False))
    volume = read_ct(data, LIMITS)
    assert [(one.pixels == slices[number]).all() for one, number in zip(volume.slices(), (1, 2, 0), strict=True)]


def test_another_part_than_the_chest_is_refused_where_asked() -> None:
    assert require_chest("chest") == ()
    assert "which part" in require_chest("unstated")[0]
    with pytest.raises(BodyPartUnsuitable):
        require_chest("other")
    assert "the caller says so" in require_chest("other", "chest")[0]


def test_notices_tell_of_losses_and_of_slices_across() -> None:
    lossy = read_ct(saved(ct(LossyImageCompression="01")), LIMITS)
    assert lossy.notices == ("the pixels were compressed with losses",)
    sagittal = read_ct(saved(ct(orientation=(0, 1, 0, 0, 0, -1))), LIMITS)
    assert sagittal.notices == ("the slices are not axial",)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("window", [False, True])
def test_films_come_with_bone_bright_and_through_their_window(inverted: bool, window: bool) -> None:
    y, x = np.mgrid[:60, :80]
    stored = 40 * y + 10 * x
    options = {"WindowCenter": 1000, "WindowWidth": 1001} if window else {}
    taken = open_film(saved(film(stored, inverted=inverted, **options)), SIDES).decode()
    grey = np.clip((stored - 999.5) / 1000 + 0.5, 0, 1) if window else stored / stored.max()
    expected = 255 * (1 - grey if inverted else grey)
    assert taken.pixels.dtype == np.uint8
    assert np.abs(taken.pixels - expected).max() <= 1
    assert bool(taken.notices) is not window


def look_up_table(entries: NDArray[Any], first: int, bits: int) -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    table.add_new("LUTData", "OW", entries.tobytes())
    return table


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_films_go_through_their_look_up_tables(kind: type[np.generic], syntax: str) -> None:
    stored = np.arange(32 * 32).reshape(32, 32)
    entries = np.linspace(0, 255, 1000).astype(kind)
    seen = open_film(saved_as(film(stored, VOILUTSequence=[look_up_table(entries, 20, 8)]), syntax), SIDES).decode()
    assert (seen.pixels == entries[np.clip(stored - 20, 0, 999)]).all()
    linear: dict[str, Any] = {"WindowCenter": [128, 9], "WindowWidth": [256, 9]}  # the first of two
    tables: dict[str, Any] = {"ModalityLUTSequence": [look_up_table(entries, 20, 8)], **linear}
    seen = open_film(saved_as(film(stored, **tables), syntax), SIDES).decode()
    assert (seen.pixels == entries[np.clip(stored - 20, 0, 999)]).all()


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": "nan", "WindowWidth": 5},
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": -900},
        {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
        {"NumberOfFrames": 3},
        {"ViewPosition": "LL"},
        {"ViewPosition": "LATERAL"},
        {"PresentationIntentType": "FOR PROCESSING"},
    ],
)
def test_films_of_nonsense_are_refused(attributes: dict[str, Any]) -> None:
    stored = np.arange(32 * 32).reshape(32, 32)
    if "NumberOfFrames" in attributes:
        stored = np.tile(stored, (3, 1))
        attributes = {**attributes, "Rows": 32}
    with pytest.raises((ImageUnreadable, ImageUnsuitable)):
        open_film(saved(film(stored, **attributes)), SIDES).decode()


def test_a_film_of_one_value_is_no_division_by_zero() -> None:
    assert not open_film(saved(film(np.full((32, 32), 7))), SIDES).decode().pixels.any()


def test_a_ct_is_no_film() -> None:
    with pytest.raises(ModalityUnsuitable):
        open_film(saved(ct()), SIDES).decode()


SAMPLES = places.SAMPLES / "format_samples" / "dicom"


@pytest.fixture
def samples() -> Path:
    if not SAMPLES.is_dir():
        pytest.skip("no real samples: ../shared/data/format_samples/dicom is not there")
    return SAMPLES


@pytest.mark.parametrize(
    ("name", "size", "lossy"),
    [
        ("693_UNCR.dcm", 512, False),
        ("693_J2KI.dcm", 512, True),
        ("explicit_VR-UN.dcm", 512, False),
        ("CT_small.dcm", 128, False),
        ("ct_image.dcm", 128, False),
    ],
)
def test_real_slices(samples: Path, name: str, size: int, lossy: bool) -> None:
    volume: DicomVolume = read_ct((samples / name).read_bytes(), LIMITS, "chest")
    (only,) = volume.slices()
    assert volume.shape == (1, size, size)
    assert bool(volume.notices) is lossy
    assert only.clipped == 0
    # Air outside or inside the patient, and bone.
    assert only.pixels.min() < -800
    assert only.pixels.max() > 700


def test_the_real_film_of_a_leg_is_read_and_said_to_be_none_of_a_chest(samples: Path) -> None:
    data = (samples / "RG3_J2KI.dcm").read_bytes()
    assert stored_values(read_header(data), data, 0).shape == (1760, 1760)
    with pytest.raises(BodyPartUnsuitable):
        open_film(data, SIDES)


def test_what_a_film_costs_is_known_before_it_is_decoded() -> None:
    damaged = saved(compressed(film(np.arange(32 * 48).reshape(32, 48)), RLELossless))
    opened = open_film(damaged[:-600] + bytes(592) + b"\xfe\xff\xdd\xe0\0\0\0\0", SIDES)
    assert (opened.width, opened.height) == (48, 32)
    with pytest.raises(ImageUnreadable):
        opened.decode()
    with pytest.raises(ImageTooLarge) as refused:
        open_film(saved(film(np.zeros((20, 4097)))), SIDES)
    assert refused.value.limit == 4096


@pytest.mark.parametrize("part", [None, "LEG"])
def test_a_film_of_no_stated_part_is_read_and_said_so_and_one_of_another_refused(part: str | None) -> None:
    data = saved(film(np.arange(32 * 32).reshape(32, 32), BodyPartExamined=part))
    if part is None:
        assert "the file does not say which part of the body it shows" in open_film(data, SIDES).decode().notices
    else:
        with pytest.raises(BodyPartUnsuitable):
            open_film(data, SIDES)


def test_a_real_segmentation_is_no_ct(samples: Path) -> None:
    with pytest.raises(ImageUnsuitable):
        read_ct((samples / "seg_image_ct_binary_single_frame.dcm").read_bytes(), LIMITS)


def test_nothing_medical_is_imported_before_it_is_needed() -> None:
    rooms = ("dicom", "dicom_ct", "dicom_seg", "radiographs", "label_volumes", "series", "windowed")
    code = "import sys\n" + "\n".join(f"import gateway.media.medical.{room}" for room in rooms)
    code += "\nassert not {'pydicom', 'highdicom', 'nibabel', 'gdcm', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_archives_are_not_taken_for_slices() -> None:
    with pytest.raises(ImageUnreadable):
        read_ct(b"PK\x03\x04" + b"\0" * 300, LIMITS)
    assert issubclass(ArchiveUnsuitable, MaskgateError)
