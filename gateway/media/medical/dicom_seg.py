"""Label maps as a DICOM Segmentation that references the CT it was made of.

What it says of the patient and the study is what files them in an archive: name, identifier, birth date, sex, and the
study's UID, identifier, date, time and accession number, copied as the CT has them (PS3.3 C.7.1.1 and C.7.2.1 ask for
each). The rest, from the referring physician to comments, is never read from the CT and is not in it. The answer goes
to whoever sent the CT.

DICOM PS3.3 A.51 and C.8.20 (segmentation); PS3.16 for the codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gateway.errors import GeometryUnsuitable, ImageUnsuitable
from gateway.media.medical.dicom import DicomHeader
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.media.medical.slice_geometry import UNKNOWN_THICKNESS
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

UInt8 = npt.NDArray[np.uint8]
Code = tuple[str, str, str]  # value, scheme, meaning

ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
LUNG: Code = ("39607008", "SCT", "Lung")
_LESION: Code = ("52988006", "SCT", "Lesion")
# Words of a class's name → what it is.
_TYPES: dict[str, Code] = {
    "ground": ("112120", "DCM", "Ground glass opacity"),
    "consolidation": ("95436008", "SCT", "Lung consolidation"),
    "effusion": ("60046008", "SCT", "Pleural effusion"),
}
ARTIFICIAL_INTELLIGENCE: Code = ("123110", "DCM", "Artificial Intelligence")

_UNFIT = "The DICOM file's own identifiers do not fit in a DICOM SEG."
MANUFACTURER = "Maskgate"
# High, as archives sort by it and the scanner counts from 1.
_SERIES_NUMBER = 9001
LONGEST_STRING = 64
# Unicode: what any character set of the source can be written in.
_CHARACTER_SET = "ISO_IR 192"
# Of type 2: there, if empty. What breaks the rules of its type is left empty too.
_MAY_BE_EMPTY = {
    "PatientName": ".*",
    "PatientID": ".*",
    "PatientBirthDate": r"\d{8}",
    "PatientSex": "[MFO]",
    "StudyID": ".*",
    "StudyDate": r"\d{8}",
    "StudyTime": r"\d{6}(\.\d{1,6})?",
    "AccessionNumber": ".*",
    "ReferringPhysicianName": ".*",
}


@dataclass(frozen=True)
class Segment:
    """One class of the label maps.

    Attributes:
        value: its label value, above 0.
        name: what it is called.
        colour: RGB, 0–255.
    """

    value: int
    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Algorithm:
    """What made the label maps.

    Attributes:
        name: the model.
        version: its version.
        digest: of its file, ``sha256:…``.
        software: version of the gateway.
    """

    name: str
    version: str
    digest: str
    software: str


def missing_identifier(volume: DicomVolume) -> str | None:
    """Return what a CT does not name and a DICOM SEG has to: frame of reference or study; None: it names both."""
    dataset = volume.sources[0].header.dataset
    names = {"FrameOfReferenceUID": "frame of reference", "StudyInstanceUID": "study"}
    return next((name for keyword, name in names.items() if not dataset.get(keyword)), None)


def write_seg(
    volume: DicomVolume, label_maps: Iterable[UInt8], segments: Sequence[Segment], algorithm: Algorithm
) -> bytes:
    """Return a binary DICOM SEG: one segment per class, frames where it is, in the frame of reference of the CT.

    highdicom takes all frames as one array. Slices without a label are never written to it, so of these it takes no
    memory: one byte per pixel of the others, as long as this runs, and in the answer one bit per segment.

    Args:
        volume: what the labels are of.
        label_maps: per slice of the volume in order, uint8, (rows, columns).
        segments: every value above 0 that occurs, and any that might.
        algorithm: what made them.

    Raises:
        GeometryUnsuitable: the CT names no frame of reference or no study.
        ImageUnsuitable: what the CT says of the patient or the study breaks DICOM's rules, so that no file may hold it.
    """
    if missing := missing_identifier(volume):
        raise GeometryUnsuitable(f"The CT names no {missing}, which DICOM SEG needs; ask for another format.")
    numbers = np.zeros(256, np.uint8)
    numbers[[segment.value for segment in segments]] = range(1, len(segments) + 1)
    # Pages that are not written to stay unallocated.
    labels = np.zeros(volume.shape, np.uint8)
    if volume.sources[0].header.layout.frames > 1:
        sources, others = [referable(volume.sources[0].header, None)], []
        for source, label_map in zip(volume.sources, label_maps, strict=True):
            if label_map.any():
                cv2.LUT(label_map, numbers, labels[source.frame.number])
    else:
        kept: list[int] = []
        for number, label_map in enumerate(label_maps):
            if label_map.any():
                cv2.LUT(label_map, numbers, labels[len(kept)])
                kept.append(number)
        # A file without a frame is none: where nothing was found, the first slice says so.
        kept = kept or [0]
        labels = labels[: len(kept)]
        thickness = (volume.spacing.slices if volume.spacing else None) or UNKNOWN_THICKNESS
        datasets = [referable(source.header, thickness) for source in volume.sources]
        sources = [datasets[number] for number in kept]
        with_frames = set(kept)
        others = [dataset for number, dataset in enumerate(datasets) if number not in with_frames]
    return _written(volume, sources, others, labels, segments, algorithm)


def _written(
    volume: DicomVolume,
    sources: list[Dataset],
    others: list[Dataset],
    labels: UInt8,
    segments: Sequence[Segment],
    algorithm: Algorithm,
) -> bytes:
    first, spacing = volume.planes[0], volume.spacing
    distance = spacing.slices if spacing else None
    with reading(_UNFIT, ImageUnsuitable):
        from highdicom import UID, PixelMeasuresSequence
        from highdicom.seg import Segmentation

        segmentation = Segmentation(
            source_images=sources,
            further_source_images=others,
            pixel_array=labels,
            segmentation_type="BINARY",
            segment_descriptions=[_described(number, segment, algorithm) for number, segment in enumerate(segments, 1)],
            series_instance_uid=UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm.name[:LONGEST_STRING],
            software_versions=algorithm.software,
            device_serial_number=algorithm.digest.removeprefix("sha256:")[:LONGEST_STRING],
            series_description=f"{algorithm.name} {algorithm.version}"[:LONGEST_STRING],
            content_label="LESIONS",
            content_description="Made by a model; not a diagnosis",
            # Of the volume: the slices that are kept may lie farther apart.
            pixel_measures=PixelMeasuresSequence(
                pixel_spacing=(first.row_spacing, first.column_spacing),
                slice_thickness=first.thickness or distance or UNKNOWN_THICKNESS,
                spacing_between_slices=distance if len(volume.planes) > 1 else None,
            ),
        )
        segmentation.SpecificCharacterSet = _CHARACTER_SET
        # highdicom takes the distance of the kept slices for it, whatever it is given.
        (measures,) = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        if distance is not None:
            measures.SpacingBetweenSlices = _decimal(distance)
        file = BytesIO()
        segmentation.save_as(file)
    return file.getvalue()


def identifiers(data: bytes) -> dict[str, str]:
    """Return SeriesInstanceUID and SOPInstanceUID of a file that was written here, as `series` and `instance`."""
    import pydicom

    dataset = pydicom.dcmread(BytesIO(data), specific_tags=["SeriesInstanceUID", "SOPInstanceUID"])
    return {"series": str(dataset.SeriesInstanceUID), "instance": str(dataset.SOPInstanceUID)}


def kind_of(segment: Segment) -> Code:
    """Return what a class is, as a code: the name says it."""
    name = segment.name.lower()
    return next((code for word, code in _TYPES.items() if word in name), _LESION)


def _described(number: int, segment: Segment, algorithm: Algorithm) -> SegmentDescription:
    """Return highdicom's description of a class."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    return SegmentDescription(
        segment_number=number,
        segment_label=segment.name[:LONGEST_STRING],
        segmented_property_category=CodedConcept(*ABNORMAL),
        segmented_property_type=CodedConcept(*kind_of(segment)),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name[:LONGEST_STRING],
            version=algorithm.version,
            family=CodedConcept(*ARTIFICIAL_INTELLIGENCE),
        ),
        anatomic_regions=[CodedConcept(*LUNG)],
        display_color=CIELabColor.from_rgb(*segment.colour),
    )


def referable(header: DicomHeader, thickness: float | None) -> Dataset:
    """Return a copy in which nothing is missing that a derived object has to have.

    Args:
        header: of the source.
        thickness: in mm, where the source gives none; None: it says so per frame.
    """
    with reading(_UNFIT, ImageUnsuitable):
        from pydicom import Dataset

        copy = Dataset(header.dataset)
        if header.lossy and copy.get("LossyImageCompression") != "01":
            copy.LossyImageCompression = "01"
        # Names were decoded as the source says; written again they are in Unicode.
        copy.SpecificCharacterSet = _CHARACTER_SET
        for keyword, rule in _MAY_BE_EMPTY.items():
            if not re.fullmatch(rule, str(copy.get(keyword, ""))) or keyword not in copy:
                setattr(copy, keyword, "")
        if thickness is not None and not copy.get("SliceThickness"):
            copy.SliceThickness = thickness
    return copy


def _decimal(value: float) -> str:
    """Return a number as DICOM's decimal strings hold it, in 16 characters at most."""
    return f"{value:.10g}"
