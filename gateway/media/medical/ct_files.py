"""CT uploads of every kind that is read here, told apart by their content and never by a name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.errors import ImageTooLarge, ImageUnreadable, ParameterInvalid, UnsupportedMedia
from gateway.media.medical.archives import SIGNATURE as ZIP_SIGNATURE
from gateway.media.medical.archives import ArchiveLimits
from gateway.media.medical.body_part import BodyPart, require_chest
from gateway.media.medical.dicom_ct import DicomVolume, read_ct
from gateway.media.medical.nifti import NiftiVolume, is_nifti, read_nifti
from gateway.media.medical.series import read_series
from gateway.media.medical.series_files import KnownHeaders
from gateway.media.medical.slices import VolumeLimits
from gateway.media.medical.transfer_syntaxes import as_plain_file, is_dicom
from gateway.media.medical.windowed import ValuesSlice, WindowedSlice, values_slice, windowed_slice
from gateway.media.pictures.images import ImageLimits, decode, decode_deep, is_picture, probe
from gateway.vision.windowing import Window

CtFile = DicomVolume | NiftiVolume | ValuesSlice | WindowedSlice


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


@dataclass(frozen=True)
class Hints:
    """What the caller says of a file, where the file does not or errs.

    Attributes:
        body_part: which part of the body it shows; None: as the file says.
        series: which of several series of a zip to take, by SeriesInstanceUID or SeriesNumber.
        scale: Hounsfield units per value, of NIfTI and of PNG of 16 bits; None: 1.
        offset: Hounsfield units of the value 0, of the same; None: 0.
    """

    body_part: BodyPart | None = None
    series: str | None = None
    scale: float | None = None
    offset: float | None = None


def read_ct_file(
    data: bytes | memoryview,
    limits: CtLimits,
    window: Window,
    hints: Hints = Hints(),
    known: KnownHeaders | None = None,
) -> CtFile:
    """Read a CT of the chest: DICOM, a zipped series, NIfTI, or a PNG or JPEG that was seen through `window`.

    Slices are decoded later, one at a time, except for that of a PNG or JPEG, which has no other. Of a series the
    headers that are `known` are not read again.

    Raises:
        UnsupportedMedia: none of these.
        BodyPartUnsuitable: the file says that it shows another part of the body.
        MaskgateError: whatever `read_ct`, `read_series`, `read_nifti`, `probe`, `decode`, `windowed_slice` refuse.
    """
    read = _read(data, limits, window, hints, known)
    slices, rows, columns = read.shape
    if slices * rows * columns > limits.voxels:
        raise ImageTooLarge(
            f"The volume is of {slices} slices of {columns}×{rows} pixels; {limits.voxels:,} in all are served.",
            limit=limits.voxels,
        )
    return read


def _read(
    data: bytes | memoryview, limits: CtLimits, window: Window, hints: Hints, known: KnownHeaders | None
) -> CtFile:
    if not data:
        raise ImageUnreadable("The file is empty.")
    scale, offset = 1.0 if hints.scale is None else hints.scale, hints.offset or 0.0
    if data[:4] == ZIP_SIGNATURE and not is_dicom(data):
        _refuse_units(hints)
        return _of_chest(read_series(data, limits.archive, limits.volume, hints.series, known), hints)
    data = bytes(data)
    if is_dicom(data):
        _refuse_units(hints)
        return _of_chest(
            read_ct(as_plain_file(data, limits.archive.member_bytes), limits.volume, hints.body_part), hints
        )
    if is_picture(data):
        sides = ImageLimits(limits.volume.max_side**2, limits.volume.max_side, limits.volume.min_side)
        info = probe(data, sides)
        if info.depth == 16 and info.colour == "grey":
            return values_slice(decode_deep(data, info), scale, offset)
        _refuse_units(hints)
        return windowed_slice(decode(data, info), window)
    if is_nifti(data):
        return read_nifti(data, limits.volume, scale, offset)
    raise UnsupportedMedia("CT is read as DICOM, a zip of DICOM files, NIfTI, PNG or JPEG; this is none of them.")


def _refuse_units(hints: Hints) -> None:
    """Refuse a scale or an offset for a file that says itself what its values are.

    Raises:
        ParameterInvalid: there is one.
    """
    if hints.scale is not None or hints.offset is not None:
        raise ParameterInvalid(
            "scale and offset are for NIfTI and PNG of 16 bits; this file says itself what its values are.",
            pointer="/offset" if hints.scale is None else "/scale",
        )


def _of_chest(volume: DicomVolume, hints: Hints) -> DicomVolume:
    return replace(volume, notices=(*volume.notices, *require_chest(volume.body_part, hints.body_part)))
