from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from gateway.errors import GeometryUnsuitable
from gateway.media.medical.archives import ArchiveLimits
from gateway.media.medical.dicom_ct import DicomVolume, read_ct
from gateway.media.medical.dicom_seg import Algorithm, Segment, write_seg
from gateway.media.medical.series import read_series
from gateway.media.medical.slice_geometry import stack_affine
from gateway.media.medical.slices import VolumeLimits
from tests.support import places as beside
from tests.support.dicoms import FRAME_OF_REFERENCE, NAME, ct, enhanced, ramp, saved, zipped
from tests.support.validators import complaints

UInt8 = NDArray[np.uint8]

ARCHIVES = ArchiveLimits(members=50, member_bytes=1 << 20, total_bytes=8 << 20)
LIMITS = VolumeLimits(max_side=512, min_side=8, max_slices=20)
CLASSES = (
    Segment(1, "ground-glass opacity", (255, 0, 0)),
    Segment(2, "consolidation", (0, 255, 0)),
    Segment(3, "pleural effusion", (0, 0, 255)),
)
ALGORITHM = Algorithm("cogseg", "1", "sha256:" + "ab" * 32, "0.1.0")

OBLIQUE = (0.9659258263, 0.2588190451, 0.0, -0.1830127019, 0.6830127019, 0.7071067812)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # its normal points to the feet
ORIENTATIONS = {"axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "reversed": FLIPPED, "oblique": OBLIQUE}


def series(orientation: Sequence[float], count: int = 4, shape: tuple[int, int] = (17, 23)) -> DicomVolume:
    """Return a series read from a zip whose files are in no order."""
    normal = np.cross(orientation[:3], orientation[3:])
    files = [
        saved(
            ct(ramp(*shape, seed=k), position=[5, -7, 11] + 2.2 * k * normal, orientation=orientation, instance=k + 1)
        )
        for k in range(count)
    ]
    return read_series(zipped((f"{k * 7 % count}", files[k]) for k in range(count)), ARCHIVES, LIMITS)


def marked(volume: DicomVolume, *marks: tuple[int, int, int, int]) -> list[UInt8]:
    """Return label maps with (slice, row, column, value) set."""
    labels = np.zeros(volume.shape, np.uint8)
    for number, row, column, value in marks:
        labels[number, row, column] = value
    return list(labels)


def read_back(data: bytes) -> Any:
    return highdicom.seg.segread(BytesIO(data))


def places(data: bytes) -> list[tuple[float, ...]]:
    """Return (segment, x, y, z) of each marked pixel, in mm, computed from the file's own geometry."""
    segmentation = read_back(data)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    along = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    found = []
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        segment = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        found += [
            (segment, *(origin + column * columns * along[0] + row * rows * along[1]))
            for row, column in np.argwhere(frame)
        ]
    return sorted(found)


def expected_place(volume: DicomVolume, number: int, row: int, column: int) -> tuple[float, ...]:
    """Return where a voxel lies, from the affine that NIfTI gets, which counts x and y the other way."""
    right, front, head, _ = stack_affine(volume.planes) @ [column, row, number, 1]
    return -right, -front, head


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_marked_voxel_of_a_series_comes_back_where_it_was(orientation: str, tmp_path: Path) -> None:
    volume = series(ORIENTATIONS[orientation])
    marks = [(0, 3, 5, 1), (2, 16, 22, 2), (3, 0, 0, 1)]
    data = write_seg(volume, marked(volume, *marks), CLASSES, ALGORITHM)
    expected = sorted((value, *expected_place(volume, *where)) for *where, value in marks)
    assert np.allclose(places(data), expected, atol=2e-3)
    assert complaints(data, tmp_path) == []


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_are_read_back_by_the_slice_they_are_of(orientation: str) -> None:
    volume = series(ORIENTATIONS[orientation])
    generator = np.random.default_rng(0)
    labels = [generator.integers(0, 4, volume.shape[1:], np.uint8) for _ in range(4)]
    labels[1][:] = 0
    segmentation = read_back(write_seg(volume, labels, CLASSES, ALGORITHM))
    identifiers = [source.header.dataset.SOPInstanceUID for source in volume.sources]
    back = segmentation.get_pixels_by_source_instance(
        identifiers, combine_segments=True, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    assert (back == np.stack(labels)).all()


def test_frames_of_a_multi_frame_file_keep_their_places(tmp_path: Path) -> None:
    heights = (9, 3, 6, 0)
    data = saved(enhanced([ramp(17, 23, seed=seed) for seed in range(4)], [(1, 2, height) for height in heights]))
    volume = read_ct(data, LIMITS)
    marks = [(0, 3, 5, 1), (3, 16, 22, 2)]
    answer = write_seg(volume, marked(volume, *marks), CLASSES, ALGORITHM)
    expected = [(1, 1 + 5 * 0.6, 2 + 3 * 0.7, 0), (2, 1 + 22 * 0.6, 2 + 16 * 0.7, 9)]
    assert np.allclose(places(answer), expected)
    assert complaints(answer, tmp_path) == []


def test_a_single_slice_without_a_lesion_has_one_empty_frame(tmp_path: Path) -> None:
    volume = read_ct(saved(ct()), LIMITS)
    data = write_seg(volume, marked(volume), CLASSES, ALGORITHM)
    segmentation = read_back(data)
    assert not segmentation.pixel_array.any()
    assert segmentation.NumberOfFrames >= 1
    assert complaints(data, tmp_path) == []


def test_every_slice_is_referenced_and_the_frame_of_reference_is_the_sources() -> None:
    volume = series(OBLIQUE)
    segmentation = read_back(write_seg(volume, marked(volume, (2, 4, 4, 3)), CLASSES, ALGORITHM))
    (referenced,) = segmentation.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == volume.sources[0].header.dataset.SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == {
        source.header.dataset.SOPInstanceUID for source in volume.sources
    }
    assert segmentation.FrameOfReferenceUID == FRAME_OF_REFERENCE
    assert segmentation.NumberOfFrames == 1


def test_segments_are_coded_and_coloured() -> None:
    volume = read_ct(saved(ct()), LIMITS)
    other = Segment(7, "nodule", (9, 9, 9))
    segmentation = read_back(write_seg(volume, marked(volume, (0, 1, 1, 7)), (*CLASSES, other), ALGORITHM))
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in segmentation.SegmentSequence]
    assert [(kind.CodeValue, kind.CodingSchemeDesignator) for kind in kinds] == [
        ("112120", "DCM"),
        ("95436008", "SCT"),
        ("60046008", "SCT"),
        ("52988006", "SCT"),
    ]
    assert [item.SegmentLabel for item in segmentation.SegmentSequence][3] == "nodule"
    assert all(item.RecommendedDisplayCIELabValue for item in segmentation.SegmentSequence)
    assert segmentation.get_segment_numbers(segment_label="nodule") == [4]


def test_the_patient_is_the_sources_and_the_rest_of_the_tags_stays_behind() -> None:
    source = ct(
        ReferringPhysicianName="Told^Nobody",
        PatientComments="told nobody",
        InstitutionName="Told Nobody Clinic",
        PatientName="Müller^Jürgen",
        SpecificCharacterSet="ISO_IR 100",
    )
    volume = read_ct(saved(source), LIMITS)
    data = write_seg(volume, marked(volume, (0, 1, 1, 1)), CLASSES, ALGORITHM)
    answer = dcmread(BytesIO(data))
    assert str(answer.PatientName) == "Müller^Jürgen"
    assert (answer.PatientID, answer.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    assert b"nobody" not in data.lower()


@pytest.mark.parametrize(
    "keyword", ["PatientName", "PatientBirthDate", "StudyDate", "AccessionNumber", "SliceThickness"]
)
def test_what_a_source_lacks_is_empty_and_no_obstacle(keyword: str, tmp_path: Path) -> None:
    without: dict[str, Any] = {keyword: None}
    volume = read_ct(saved(ct(**without)), LIMITS)
    data = write_seg(volume, marked(volume, (0, 1, 1, 1)), CLASSES, ALGORITHM)
    assert complaints(data, tmp_path) == []


def test_a_source_without_a_frame_of_reference_is_refused() -> None:
    volume = read_ct(saved(ct(FrameOfReferenceUID=None)), LIMITS)
    with pytest.raises(GeometryUnsuitable, match="frame of reference"):
        write_seg(volume, marked(volume), CLASSES, ALGORITHM)


@pytest.mark.parametrize("kept", [(1, 3), (2,), ()], ids=str)
def test_pixel_measures_are_the_volumes_whatever_slices_are_kept(kept: tuple[int, ...]) -> None:
    volume = series((1, 0, 0, 0, 1, 0))
    data = write_seg(volume, marked(volume, *((number, 4, 4, 1) for number in kept)), CLASSES, ALGORITHM)
    (measures,) = dcmread(BytesIO(data)).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert volume.spacing is not None
    assert float(measures.SpacingBetweenSlices) == pytest.approx(volume.spacing.slices)
    if kept:
        seen = read_back(data).get_volume(combine_segments=True)
        voxel = float(np.prod(seen.spacing))
        assert np.count_nonzero(seen.array) * voxel == pytest.approx(
            len(kept) * volume.spacing.rows * volume.spacing.columns * (volume.spacing.slices or 0)
        )


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("", "Drawn^Chest"),
        ("ISO_IR 192", "山田^太郎"),
    ],
)
def test_names_of_any_character_set_are_written_in_unicode(character_set: Any, name: str) -> None:
    source = ct(PatientName=name)
    source.SpecificCharacterSet = character_set
    volume = read_ct(saved(source), LIMITS)
    answer = dcmread(BytesIO(write_seg(volume, marked(volume, (0, 1, 1, 1)), CLASSES, ALGORITHM)))
    assert str(answer.PatientName) == name
    assert answer.SpecificCharacterSet == "ISO_IR 192"


def test_a_source_without_a_study_is_refused() -> None:
    volume = read_ct(saved(ct(StudyInstanceUID="")), LIMITS)
    with pytest.raises(GeometryUnsuitable, match="study"):
        write_seg(volume, marked(volume), CLASSES, ALGORITHM)


def test_a_name_is_not_in_what_is_printed() -> None:
    volume = read_ct(saved(ct()), LIMITS)
    header = volume.sources[0].header
    assert isinstance(header.dataset, Dataset)
    assert str(header.dataset.PatientName) == NAME
    for thing in (volume, volume.sources, header, header.layout, volume.sources[0].frame):
        assert NAME not in repr(thing)


SAMPLES = beside.SAMPLES / "format_samples" / "dicom"


@pytest.mark.parametrize("name", ["CT_small.dcm", "explicit_VR-UN.dcm"])
def test_real_slices_become_segmentations_that_validators_accept(name: str, tmp_path: Path) -> None:
    if not SAMPLES.is_dir():
        pytest.skip("no real samples: ../shared/data/format_samples/dicom is not there")
    volume = read_ct((SAMPLES / name).read_bytes(), LIMITS, "chest")
    (only,) = volume.slices()
    bone = (only.pixels > 300).astype(np.uint8)
    data = write_seg(volume, [bone], CLASSES, ALGORITHM)
    assert (read_back(data).pixel_array == bone).all()
    assert complaints(data, tmp_path) == []
