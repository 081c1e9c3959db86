from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from gateway.errors import ImageUnsuitable
from gateway.media.medical.dicom_ct import DicomVolume, read_ct
from gateway.media.medical.dicom_report import Measured, write_report
from gateway.media.medical.dicom_seg import Algorithm, Segment, write_seg
from gateway.media.medical.slices import VolumeLimits
from tests.support.dicoms import SURNAME, ct, enhanced, ramp, saved
from tests.support.patient import everywhere
from tests.support.validators import complaints

LIMITS = VolumeLimits(max_side=512, min_side=16, max_slices=20)
ALGORITHM = Algorithm("cogseg", "3", f"sha256:{'ab' * 32}", "0.2.0")
SEGMENTS = (
    Segment(1, "ground-glass", (255, 0, 0)),
    Segment(2, "consolidation", (0, 255, 0)),
    Segment(3, "pleural effusion", (0, 0, 255)),
)
# Of the three classes the last was never learnt.
MEASURED = [Measured(1, SEGMENTS[0], 12.34567), Measured(2, SEGMENTS[1], 0.0)]


def made(volume: DicomVolume) -> tuple[bytes, bytes]:
    """Return SEG and report of a volume with a label in its first slice."""
    labels = np.zeros(volume.shape, np.uint8)
    labels[0, :4, :4] = 1
    seg = write_seg(volume, labels, SEGMENTS, ALGORITHM)
    return seg, write_report(volume, seg, MEASURED, ALGORITHM)


def groups_of(report: bytes) -> list[Any]:
    content: Any = highdicom.sr.srread(BytesIO(report)).content
    return list(content.get_volumetric_roi_measurement_groups())


@pytest.mark.parametrize(
    "source",
    [
        lambda: saved(ct()),
        lambda: saved(enhanced([ramp()] * 3, [(0, 0, 0), (0, 0, 1), (0, 0, 2)])),
        lambda: saved(ct(SliceThickness=None, PatientBirthDate=None, StudyDate="")),
    ],
    ids=["slice", "multi-frame", "gaps in the header"],
)
def test_a_report_is_one_that_validators_and_readers_take(source: Any, tmp_path: Path) -> None:
    seg, report = made(read_ct(source(), LIMITS))
    assert complaints(report, tmp_path) == []
    first, second = groups_of(report)
    assert (first.tracking_identifier, second.tracking_identifier) == ("ground-glass", "consolidation")
    assert [group.get_measurements()[0].value for group in (first, second)] == [12.3457, 0.0]
    assert {group.get_measurements()[0].unit.value for group in (first, second)} == {"ml"}
    assert first.finding_type.value == "112120"
    assert first.referenced_segment.referenced_sop_instance_uid == dcmread(BytesIO(seg)).SOPInstanceUID
    assert second.referenced_segment.referenced_segment_numbers == [2]


def test_a_report_says_that_it_is_no_diagnosis_and_final_to_nobody() -> None:
    _, report = made(read_ct(saved(ct()), LIMITS))
    dataset = dcmread(BytesIO(report))
    texts = [str(element.value) for element in dataset.iterall() if element.VR == "UT"]
    assert any("not a diagnosis" in text for text in texts)
    assert ALGORITHM.digest in texts
    assert dataset.PreliminaryFlag == "PRELIMINARY"
    assert dataset.VerificationFlag == "UNVERIFIED"


def test_a_report_says_no_more_of_the_patient_than_the_seg_does() -> None:
    seg, report = (dcmread(BytesIO(data)) for data in made(read_ct(everywhere(ct()), LIMITS)))
    assert named(report) <= named(seg)
    assert "PatientName" in named(report)


def test_a_source_that_breaks_the_rules_of_identifiers_is_refused_in_our_words() -> None:
    volume = read_ct(saved(ct()), LIMITS)
    seg, _ = made(volume)
    with pytest.raises(ImageUnsuitable, match="do not fit in a structured report") as caught:
        write_report(volume, seg[:600], MEASURED, ALGORITHM)
    assert caught.value.__cause__ is None


def named(dataset: Dataset) -> set[str]:
    """Return the keywords of the elements, at any depth, that hold the patient's name."""
    return {element.keyword for element in dataset.iterall() if element.VR != "SQ" and SURNAME in str(element.value)}
