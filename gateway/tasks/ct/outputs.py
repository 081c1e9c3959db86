"""What a CT can be answered with, by what it is: pictures of a slice, and files that lie on the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from gateway import __version__
from gateway.engines.base import Model
from gateway.errors import ParameterInvalid
from gateway.http.parameters import PNG, Wish
from gateway.media.medical.ct_files import CtFile
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.media.medical.dicom_report import Measured, write_report
from gateway.media.medical.dicom_seg import Algorithm, Segment, missing_identifier, write_seg
from gateway.media.medical.label_volumes import write_nrrd, write_on_dicom, write_on_nifti
from gateway.media.medical.nifti import NiftiVolume
from gateway.media.medical.windowed import ValuesSlice, WindowedSlice
from gateway.media.pictures.overlays import encode_overlay
from gateway.media.pictures.png import encode_label_map
from gateway.tasks.ct.pipeline import CtFindings, window_of
from gateway.vision.windowing import Window, to_windowed

UInt8 = npt.NDArray[np.uint8]
CtForm = Literal["label_map", "overlay", "nifti", "nrrd", "dicom", "report"]
StoredForm = Literal["dicom", "report"]

DICOM, NIFTI, NRRD = "application/dicom", "application/x-nifti", "application/x-nrrd"
DIRECT: Mapping[str, CtForm] = {PNG: "label_map", NIFTI: "nifti", NRRD: "nrrd", DICOM: "dicom"}
"""As of `Wish`. Of a volume, of which there is no PNG, JSON comes first."""

# Per voxel, beside its label: what `write_seg` orders the labels in, and the library copies of that.
_SEG_BYTES_PER_VOXEL = 3
_NRRD_BYTES_PER_VOXEL = 1


def grant(wished: Wish[CtForm], volume: CtFile, stored: Sequence[StoredForm] = ()) -> Granted:
    """Return the answer's form for this input.

    Args:
        wished: what the caller wants.
        volume: the input.
        stored: what is to be stored besides.

    Raises:
        NotAcceptable: `Accept` names only what this input cannot be answered with.
        ParameterInvalid: `overlay`, `include` or `store` does.
    """
    unfit = _unfit(volume)
    for form in stored:
        if form in unfit:
            raise ParameterInvalid(unfit[form], pointer="/store")
    media_type, forms = wished.granted(unfit, "overlay")
    return Granted(media_type, _with_segments(forms), _with_segments(stored))


def _with_segments(forms: Sequence[CtForm]) -> tuple[CtForm, ...]:
    """Return forms, and the DICOM SEG where a report is among them: it names the segments that it measures."""
    first: tuple[CtForm, ...] = ("dicom",) if "report" in forms else ()
    return tuple(dict.fromkeys((*first, *forms)))


@dataclass(frozen=True)
class Granted:
    """The form of one answer.

    Attributes:
        media_type: of the answer.
        forms: of which the answer is the only one, or which a JSON answer holds.
        stored: what is stored besides.
    """

    media_type: str
    forms: tuple[CtForm, ...]
    stored: tuple[CtForm, ...] = ()

    @property
    def made(self) -> tuple[CtForm, ...]:
        """What is to be made, each once; a report comes after the SEG that it names."""
        return tuple(dict.fromkeys((*self.stored, *self.forms)))

    @property
    def bytes_per_voxel(self) -> int:
        """Bytes that are held per voxel: the label maps, where a form needs all of them, and what making it takes."""
        made = self.made
        return bool(made) + _SEG_BYTES_PER_VOXEL * ("dicom" in made) + _NRRD_BYTES_PER_VOXEL * ("nrrd" in made)


def encode(granted: Granted, volume: CtFile, labels: UInt8, model: Model, findings: CtFindings) -> dict[CtForm, bytes]:
    """Return label maps in every form that is to be made of them.

    Args:
        granted: which forms, of those that `volume` can have.
        volume: what the labels are of.
        labels: uint8 (slices, rows, columns).
        model: what made them.
        findings: the same in numbers.

    Raises:
        MaskgateError: as `write_seg`, `write_report`, `write_on_dicom`, `write_on_nifti` and `write_nrrd`.
    """
    files: dict[CtForm, bytes] = {}
    for form in granted.made:
        if form == "report":
            files[form] = _report(files["dicom"], volume, model, findings)
        else:
            files[form] = _encoded(form, volume, labels, model)
    return files


def _report(seg: bytes, volume: CtFile, model: Model, findings: CtFindings) -> bytes:
    """Return the measurement report of a CT whose DICOM SEG is `seg`; of what the model cannot find it says nothing."""
    if not isinstance(volume, DicomVolume):
        raise ValueError("a picture was granted a report")
    untrained = model.card.training.untrained
    measured = [
        Measured(number, segment, ml)
        for number, segment in enumerate(_segments(model), start=1)
        if segment.name not in untrained and (ml := findings.volume(findings.counts[segment.value])) is not None
    ]
    return write_report(volume, seg, measured, _algorithm(model))


def _segments(model: Model) -> list[Segment]:
    return [Segment(spec.value, spec.name, spec.colour) for spec in model.card.classes[1:]]


def _algorithm(model: Model) -> Algorithm:
    return Algorithm(model.name, str(model.version), model.digest, __version__)


def _encoded(form: CtForm, volume: CtFile, labels: UInt8, model: Model) -> bytes:
    if form == "label_map":
        return encode_label_map(labels[0], model.card.palette())
    if form == "overlay":
        return encode_overlay(_picture(volume, window_of(model)), labels[0], model.card.palette())
    if form == "dicom" and isinstance(volume, DicomVolume):
        return write_seg(volume, labels, _segments(model), _algorithm(model))
    if form == "nrrd" and isinstance(volume, DicomVolume | NiftiVolume):
        return write_nrrd(volume, labels, _segments(model))
    if isinstance(volume, DicomVolume):
        return b"".join(write_on_dicom(volume, labels))
    if isinstance(volume, NiftiVolume):
        return b"".join(write_on_nifti(volume, labels))
    raise ValueError(f"a picture was granted {form}")


def _picture(volume: CtFile, window: Window) -> UInt8:
    """Return the only slice as the model sees it, uint8 (rows, columns, 3)."""
    (only,) = volume.slices()
    return np.asarray(cv2.cvtColor(to_windowed(only.pixels, window), cv2.COLOR_GRAY2RGB), np.uint8)


def _unfit(volume: CtFile) -> dict[CtForm, str]:
    """Return the forms that this input cannot be answered with, and why."""
    unfit: dict[CtForm, str] = {}
    if volume.shape[0] > 1:
        unfit["label_map"] = "A label map as PNG is of a single slice, this is a volume."
        unfit["overlay"] = "An overlay is of a single slice, this is a volume."
    if isinstance(volume, ValuesSlice | WindowedSlice):
        unfit["nifti"] = unfit["nrrd"] = "A picture does not say where it lies in the patient, which the file has to."
    if isinstance(volume, DicomVolume) and volume.affine is None:
        unfit["nifti"] = unfit["nrrd"] = (
            "The centre of reconstruction moves from slice to slice, which no affine describes."
            if volume.planes
            else "The DICOM file does not say where its slice lies, which NIfTI and NRRD have to."
        )
    if not isinstance(volume, DicomVolume):
        unfit["dicom"] = "A DICOM SEG references the DICOM files that it was made of, and these are none."
    elif not volume.planes:
        unfit["dicom"] = "The DICOM file does not say where its slice lies, which a DICOM SEG has to."
    elif missing := missing_identifier(volume):
        unfit["dicom"] = f"The CT names no {missing}, which a DICOM SEG needs."
    if "dicom" in unfit:
        unfit["report"] = unfit["dicom"]
    elif volume.spacing is None or volume.spacing.slices is None:
        unfit["report"] = "The DICOM file does not say how thick its slice is, so that no volume can be measured."
    return unfit
