"""What was found in CTs, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from maskgate_client.answers import ClassShare, Provenance
from maskgate_client.images import ImageInput


@dataclass(frozen=True)
class PacsSeries:
    """A series in the DICOMweb server that the gateway has, by its StudyInstanceUID and SeriesInstanceUID."""

    study: str
    series: str


CtInput = ImageInput | PacsSeries
"""As `ImageInput`: DICOM, the zip of a series, NIfTI, PNG or JPEG; also the path of a folder of DICOM files, or a
series in the gateway's DICOMweb server."""

CtForm = Literal["label_map", "overlay", "nifti", "nrrd", "dicom", "report"]
"""A segmentation as an indexed PNG or an overlay, both of single slices, as NIfTI, NRRD or DICOM SEG; or a DICOM report
of what was measured, which comes with the SEG."""

StoredForm = Literal["dicom", "report"]
"""What the gateway can store beside a `PacsSeries`."""


@dataclass(frozen=True)
class Spacing:
    """Distances between the centres of neighbouring voxels, in mm; `slices` is None where the file does not say."""

    rows: float
    columns: float
    slices: float | None


@dataclass(frozen=True)
class Lesion:
    """How much of one lesion class there is in all slices.

    Attributes:
        value: its class as in the label maps.
        name: name of the class.
        voxels: how many.
        imaged_share: of the scanner's field of view, from 0 to 1.
        volume_ml: None where the file does not say how large voxels are.
    """

    value: int
    name: str
    voxels: int
    imaged_share: float
    volume_ml: float | None


@dataclass(frozen=True)
class SliceLesion:
    """How much of one lesion class there is in one slice; `area_mm2` is None where the file says no sizes."""

    value: int
    pixels: int
    imaged_share: float
    area_mm2: float | None


@dataclass(frozen=True)
class CtSlice:
    """One slice.

    Attributes:
        number: from 0.
        imaged_pixels: in the scanner's field of view.
        lesions: every class.
        instance: SOPInstanceUID of its DICOM file; None: it came in none.
        position: of its first pixel, in mm to the patient's left, back and head; None: not known.
    """

    number: int
    imaged_pixels: int
    lesions: tuple[SliceLesion, ...]
    instance: str | None = None
    position: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class StoredFile:
    """A result that the gateway stored: which form, and its SeriesInstanceUID and SOPInstanceUID."""

    form: str
    series: str
    instance: str


@dataclass(frozen=True)
class CtReport:
    """The lesions of a CT.

    Attributes:
        model: name of the model.
        width: columns of a slice.
        height: rows of a slice.
        spacing: None where the file does not say, as PNG does not.
        classes: every class with its share, in the order of their values.
        lesions: the same in ml, without the background.
        slices: in the order of their place, those of NIfTI in that of the array.
        notices: that this is not a diagnosis, what was done to the slices, and what to beware of.
        provenance: weights, engine and input.
        files: the segmentations by form, those that were asked for.
        document: the JSON answer without its files.
        stored: what the gateway stored in its DICOMweb server.
    """

    model: str
    width: int
    height: int
    spacing: Spacing | None
    classes: tuple[ClassShare, ...]
    lesions: tuple[Lesion, ...]
    slices: tuple[CtSlice, ...]
    notices: tuple[str, ...]
    provenance: Provenance
    files: Mapping[CtForm, bytes]
    document: Mapping[str, Any]
    stored: tuple[StoredFile, ...] = ()
