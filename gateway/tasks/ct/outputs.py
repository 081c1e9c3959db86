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
from gateway.http.negotiation import PNG, Wish
from gateway.media.medical.ct_files import CtFile
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.media.medical.dicom_seg import Algorithm, Segment, missing_identifier, write_seg
from gateway.media.medical.label_nifti import write_on_dicom, write_on_nifti
from gateway.media.medical.nifti import NiftiVolume
from gateway.media.medical.windowed import ValuesSlice, WindowedSlice
from gateway.media.pictures.label_maps import encode_label_map, encode_overlay
from gateway.tasks.ct.pipeline import window_of
from gateway.vision.windowing import Window, to_windowed

UInt8 = npt.NDArray[np.uint8]
CtForm = Literal["label_map", "overlay", "nifti", "dicom"]

DICOM, NIFTI = "application/dicom", "application/x-nifti"
# Of a volume, of which there is no PNG, JSON comes first.
_DIRECT: Mapping[str, CtForm] = {PNG: "label_map", NIFTI: "nifti", DICOM: "dicom"}
# Per voxel, beside its label: what `write_seg` orders the labels in, and the library copies of that.
_SEG_BYTES_PER_VOXEL = 3


def wish(accept: str | None, overlay: bool, include: Sequence[CtForm]) -> Wish[CtForm]:
    """Return what a caller of `POST /v1/ct` wants."""
    return Wish(accept, overlay, include, _DIRECT)


def grant(wished: Wish[CtForm], volume: CtFile) -> Granted:
    """Return the answer's form for this input.

    Raises:
        NotAcceptable: `Accept` names only what this input cannot be answered with.
        ParameterInvalid: `overlay` or `include` does.
    """
    return Granted(*wished.granted(_unfit(volume), "overlay"))


@dataclass(frozen=True)
class Granted:
    """The form of one answer.

    Attributes:
        media_type: of the answer.
        forms: of which the answer is the only one, or which a JSON answer holds.
    """

    media_type: str
    forms: tuple[CtForm, ...]

    @property
    def bytes_per_voxel(self) -> int:
        """Bytes that are held per voxel: the label maps, where a form needs all of them, and what making it takes."""
        return bool(self.forms) + _SEG_BYTES_PER_VOXEL * ("dicom" in self.forms)


def encode(form: CtForm, volume: CtFile, labels: UInt8, model: Model) -> bytes:
    """Return label maps in a form that `volume` was granted.

    Args:
        form: which.
        volume: what the labels are of.
        labels: uint8 (slices, rows, columns).
        model: what made them.

    Raises:
        MaskgateError: as `write_seg`, `write_on_dicom` and `write_on_nifti`.
    """
    classes = model.card.classes
    if form == "label_map":
        return encode_label_map(labels[0], model.card.palette())
    if form == "overlay":
        return encode_overlay(_picture(volume, window_of(model)), labels[0], model.card.palette())
    if form == "dicom" and isinstance(volume, DicomVolume):
        segments = [Segment(spec.value, spec.name, spec.colour) for spec in classes[1:]]
        return write_seg(volume, labels, segments, Algorithm(model.name, str(model.version), model.digest, __version__))
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
        unfit["nifti"] = "A picture does not say where it lies in the patient, which NIfTI has to."
    if isinstance(volume, DicomVolume) and volume.affine is None:
        unfit["nifti"] = (
            "The centre of reconstruction moves from slice to slice, which no NIfTI affine describes."
            if volume.planes
            else "The DICOM file does not say where its slice lies, which NIfTI has to."
        )
    if not isinstance(volume, DicomVolume):
        unfit["dicom"] = "A DICOM SEG references the DICOM files that it was made of, and these are none."
    elif not volume.planes:
        unfit["dicom"] = "The DICOM file does not say where its slice lies, which a DICOM SEG has to."
    elif missing := missing_identifier(volume):
        unfit["dicom"] = f"The CT names no {missing}, which a DICOM SEG needs."
    return unfit
