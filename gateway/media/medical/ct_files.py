"""CT uploads of every kind that is read here, told apart by their content and never by a name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.errors import ImageTooLarge, ImageUnreadable, UnsupportedMedia
from gateway.media.medical.archives import SIGNATURE as ZIP_SIGNATURE
from gateway.media.medical.archives import ArchiveLimits
from gateway.media.medical.dicom import require_chest
from gateway.media.medical.dicom_ct import DicomVolume, read_ct
from gateway.media.medical.nifti import NiftiVolume, is_nifti, read_nifti
from gateway.media.medical.series import read_series
from gateway.media.medical.slices import VolumeLimits
from gateway.media.medical.transfer_syntaxes import is_dicom
from gateway.media.medical.windowed import WindowedSlice, windowed_slice
from gateway.media.pictures.headers import JPEG_SIGNATURE, PNG_SIGNATURE
from gateway.media.pictures.images import ImageLimits, decode, probe
from gateway.vision.windowing import Window

CtFile = DicomVolume | NiftiVolume | WindowedSlice


@dataclass(frozen=True)
class CtLimits:
    """What is read.

    Attributes:
        volume: sizes of slices and volumes.
        voxels: the most of one volume.
        archive: what is unpacked of a zipped series.
    """

    volume: VolumeLimits
    voxels: int
    archive: ArchiveLimits


def read_ct_file(data: bytes, limits: CtLimits, window: Window) -> CtFile:
    """Read a CT of the chest: DICOM, a zipped series, NIfTI, or a PNG or JPEG that was seen through `window`.

    Slices are decoded later, one at a time, except for that of a PNG or JPEG, which has no other.

    Raises:
        UnsupportedMedia: none of these.
        BodyPartUnsuitable: the file says that it shows another part of the body.
        MaskgateError: whatever `read_ct`, `read_series`, `read_nifti`, `probe`, `decode`, `windowed_slice` refuse.
    """
    read = _read(data, limits, window)
    slices, rows, columns = read.shape
    if slices * rows * columns > limits.voxels:
        raise ImageTooLarge(
            f"The volume is of {slices} slices of {columns}×{rows} pixels; {limits.voxels:,} in all are served.",
            limit=limits.voxels,
        )
    return read


def _read(data: bytes, limits: CtLimits, window: Window) -> CtFile:
    if not data:
        raise ImageUnreadable("The file is empty.")
    if is_dicom(data):
        return _of_chest(read_ct(data, limits.volume))
    if data.startswith(ZIP_SIGNATURE):
        return _of_chest(read_series(data, limits.archive, limits.volume))
    if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        sides = ImageLimits(limits.volume.max_side**2, limits.volume.max_side, limits.volume.min_side)
        return windowed_slice(decode(data, probe(data, sides)), window)
    if is_nifti(data):
        return read_nifti(data, limits.volume)
    raise UnsupportedMedia("CT is read as DICOM, a zip of DICOM files, NIfTI, PNG or JPEG; this is none of them.")


def _of_chest(volume: DicomVolume) -> DicomVolume:
    return replace(volume, notices=(*volume.notices, *require_chest(volume.body_part)))
