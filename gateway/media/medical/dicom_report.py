"""What was measured in a CT as a DICOM structured report: TID 1500, a measurement group per class.

Each group names the segment of a DICOM SEG that it measures, so report and SEG belong together. What it says of the
patient and the study is what that SEG says.

DICOM PS3.16, TID 1500 (measurement report) and TID 1411 (volumetric regions); PS3.3 A.35.13 (Comprehensive 3D SR).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from gateway.errors import ImageUnsuitable
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.media.medical.dicom_seg import (
    ABNORMAL,
    LONGEST_STRING,
    LUNG,
    MANUFACTURER,
    Algorithm,
    Code,
    Segment,
    kind_of,
    referable,
)
from gateway.media.medical.slice_geometry import UNKNOWN_THICKNESS
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from highdicom.sr import (
        MeasurementReport,
        ObservationContext,
        SourceSeriesForSegmentation,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from pydicom import Dataset

_UNFIT = "The DICOM file's own identifiers do not fit in a structured report."
# Behind that of the SEG, so that archives list them together.
_SERIES_NUMBER = 9002
_CT_OF_CHEST: Code = ("24627-2", "LN", "Chest CT")
_VOLUME: Code = ("118565006", "SCT", "Volume")
_MILLILITRE: Code = ("ml", "UCUM", "milliliter")
_TITLE: Code = ("126000", "DCM", "Imaging Measurement Report")
_ROOT_OF_UUIDS = "2.25"
_CAUTION = "Made by a model; a research demonstration, not a diagnosis"


@dataclass(frozen=True)
class Measured:
    """What was measured of one class.

    Attributes:
        number: of its segment in the DICOM SEG, from 1.
        segment: the class.
        volume: in ml.
    """

    number: int
    segment: Segment
    volume: float


def write_report(volume: DicomVolume, seg: bytes, measured: Sequence[Measured], algorithm: Algorithm) -> bytes:
    """Return a measurement report of a CT: the volume of each class in ml, 0 where there is none of it.

    Args:
        volume: what was measured.
        seg: what `write_seg` made of it.
        measured: of every class that the model can find.
        algorithm: what found the lesions.

    Raises:
        ImageUnsuitable: what the CT says of the patient or the study breaks DICOM's rules, so that no file may hold it.
    """
    with reading(_UNFIT, ImageUnsuitable):
        import pydicom
        from highdicom import UID
        from highdicom.sr import Comprehensive3DSR, SourceSeriesForSegmentation

        segmentation = pydicom.dcmread(BytesIO(seg), stop_before_pixels=True)
        distinct = {id(source.header): source.header for source in volume.sources}.values()
        sources = [referable(header, UNKNOWN_THICKNESS) for header in distinct]
        series = SourceSeriesForSegmentation(sources[0].SeriesInstanceUID)
        content = _content(segmentation, series, measured, algorithm)
        report = Comprehensive3DSR(
            evidence=[segmentation, *sources],
            content=content[0],
            series_instance_uid=UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_verified=False,
        )
        report.SpecificCharacterSet = segmentation.SpecificCharacterSet
        report.SeriesDescription = f"{algorithm.name} {algorithm.version}"[:LONGEST_STRING]
        file = BytesIO()
        report.save_as(file)
    return file.getvalue()


def _content(
    segmentation: Dataset, series: SourceSeriesForSegmentation, measured: Sequence[Measured], algorithm: Algorithm
) -> MeasurementReport:
    from highdicom.sr import CodedConcept, MeasurementReport

    groups = [_group(segmentation, series, one, algorithm) for one in measured]
    return MeasurementReport(
        observation_context=_observer(algorithm),
        procedure_reported=CodedConcept(*_CT_OF_CHEST),
        imaging_measurements=groups,
        title=CodedConcept(*_TITLE),
    )


def _observer(algorithm: Algorithm) -> ObservationContext:
    """Return who measured: a device, known by the digest of its model."""
    from highdicom import UID
    from highdicom.sr import (
        CodedConcept,
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes

    # The same model is the same device, wherever it runs: 122 bits of its digest, as PS3.5 B.2 has UIDs of UUIDs.
    number = int(algorithm.digest.removeprefix("sha256:")[:32] or "0", 16)
    attributes = DeviceObserverIdentifyingAttributes(
        uid=UID(f"{_ROOT_OF_UUIDS}.{number}"),
        name=algorithm.name[:LONGEST_STRING],
        manufacturer_name=MANUFACTURER,
        model_name=algorithm.version[:LONGEST_STRING],
    )
    device = CodedConcept.from_code(codes.DCM.Device)
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=device, observer_identifying_attributes=attributes)
    )


def _group(
    segmentation: Dataset, series: SourceSeriesForSegmentation, measured: Measured, algorithm: Algorithm
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Return the measurement group of one segment."""
    from highdicom.sr import (
        AlgorithmIdentification,
        CodedConcept,
        FindingSite,
        Measurement,
        ReferencedSegment,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    name = AlgorithmIdentification(
        name=algorithm.name[:LONGEST_STRING],
        version=algorithm.version,
        parameters=[algorithm.digest, _CAUTION],
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(identifier=measured.segment.name[:LONGEST_STRING]),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=measured.number,
            source_series=series,
        ),
        finding_category=CodedConcept(*ABNORMAL),
        finding_type=CodedConcept(*kind_of(measured.segment)),
        finding_sites=[FindingSite(anatomic_location=CodedConcept(*LUNG))],
        algorithm_id=name,
        measurements=[
            Measurement(
                name=CodedConcept(*_VOLUME),
                value=round(measured.volume, 4),
                unit=CodedConcept(*_MILLILITRE),
            )
        ],
    )
