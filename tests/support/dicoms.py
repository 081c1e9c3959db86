"""Small DICOM files, made by code, with a name planted wherever text may stand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    generate_uid,
)

NAME = "Zacharias^Quillfeather"
SURNAME = "Quillfeather"

Array = NDArray[Any]

STUDY, SERIES, FRAME_OF_REFERENCE = (generate_uid(entropy_srcs=[name]) for name in ("study", "series", "frame"))
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def ramp(rows: int = 40, columns: int = 56, seed: int = 0) -> Array:
    """Return int16 values −1000…400, of which every row, column and seed has its own."""
    y, x = np.mgrid[:rows, :columns]
    return np.asarray(-1000 + (17 * y + 5 * x + 31 * seed) % 1400, np.int16)


def ct(
    hounsfield: Array | None = None,
    *,
    position: Sequence[float] | Array = (-10.0, -20.0, 30.0),
    orientation: Sequence[float] = STRAIGHT,
    spacing: Sequence[float] = (0.7, 0.6),
    instance: int = 1,
    slope: float = 1,
    intercept: float = -1024,
    signed: bool = False,
    bits: int = 16,
    allocated: int = 16,
    **attributes: Any,
) -> FileDataset:
    """Return a CT slice; `attributes` are set last, None takes one away."""
    values = ramp() if hounsfield is None else hounsfield
    stored = np.rint((values.astype(np.float64) - intercept) / slope)
    dataset = _file(CTImageStorage, generate_uid(entropy_srcs=[f"slice {instance}"]))
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber = instance
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.10f}" for value in orientation]
    dataset.PixelSpacing = list(spacing)
    dataset.SliceThickness = 1.5
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "HU"
    _pixels(dataset, stored, signed, bits, allocated)
    return _set(dataset, attributes)


def film(stored: Array, *, bits: int = 12, inverted: bool = False, **attributes: Any) -> FileDataset:
    """Return a chest radiograph."""
    dataset = _file(DigitalXRayImageStorageForPresentation, generate_uid(entropy_srcs=["film"]))
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    _pixels(dataset, stored, False, bits, 16 if bits > 8 else 8)
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    return _set(dataset, attributes)


def enhanced(slices: Sequence[Array], positions: Sequence[Sequence[float]], **attributes: Any) -> FileDataset:
    """Return a multi-frame CT whose frames lie at `positions`, in the order given."""
    dataset = _file(EnhancedCTImageStorage, generate_uid(entropy_srcs=["enhanced"]))
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    _pixels(dataset, np.concatenate(slices).astype(np.float64) + 1024, False, 16, 16)
    dataset.Rows, dataset.NumberOfFrames = slices[0].shape[0], len(slices)
    measures, orientation, values = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.7, 0.6], 2.0
    orientation.ImageOrientationPatient = list(STRAIGHT)
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [values]
    dataset.SharedFunctionalGroupsSequence = [shared]
    per_frame = []
    for position in positions:
        place, groups = Dataset(), Dataset()
        place.ImagePositionPatient = list(position)
        groups.PlanePositionSequence = [place]
        per_frame.append(groups)
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    return _set(dataset, attributes)


def saved(dataset: FileDataset) -> bytes:
    """Return a dataset as a file."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def saved_as(dataset: FileDataset, syntax: str) -> bytes:
    """Return a dataset as a file of another uncompressed transfer syntax."""
    copy = Dataset(dataset)
    copy.file_meta = dataset.file_meta
    copy.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    if not copy.file_meta.TransferSyntaxUID.is_little_endian:
        copy.PixelData = np.frombuffer(copy.PixelData, "<u2").astype(">u2").tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, copy, enforce_file_format=True)
    return file.getvalue()


def compressed(dataset: FileDataset, syntax: str) -> FileDataset:
    """Return the dataset compressed by pydicom's encoders; skips where that of JPEG-LS has no wheel."""
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls")
    dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def baseline_jpeg(dataset: FileDataset) -> FileDataset:
    """Return a dataset of 8 bits as baseline JPEG."""
    file = io.BytesIO()
    picture = np.frombuffer(dataset.PixelData, np.uint8, dataset.Rows * dataset.Columns)
    Image.fromarray(picture.reshape(dataset.Rows, dataset.Columns)).save(file, "JPEG", quality=95)
    return wrapped(dataset, [file.getvalue()], JPEGBaseline8Bit)


def lossless_jpeg(data: bytes, folder: Path) -> bytes:
    """Return a file as lossless JPEG (process 14, first-order prediction), by way of `folder`: gdcm reads no memory."""
    import gdcm

    source, target = folder / "plain.dcm", folder / "lossless.dcm"
    source.write_bytes(data)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target.read_bytes()


def wrapped(dataset: FileDataset, frames: Sequence[bytes], syntax: str, **options: Any) -> FileDataset:
    """Return the dataset with compressed frames for its pixels."""
    dataset.PixelData = encapsulate(list(frames), **options)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    return dataset


def zipped(files: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of (name, content)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return file.getvalue()


def _file(sop_class: str, instance: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.UID(sop_class)
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(instance)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = NAME, "17-4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19410101", "O"
    dataset.StudyID, dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "1", "20200401", "101010", "A1"
    dataset.SeriesNumber, dataset.InstanceNumber = 3, 1
    dataset.Manufacturer = "None"
    return dataset


def _pixels(dataset: FileDataset, stored: Array, signed: bool, bits: int, allocated: int) -> None:
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    masked = stored.astype(np.int64) & ((1 << bits) - 1)
    content = masked.astype(f"<u{allocated // 8}").tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"


def _set(dataset: FileDataset, attributes: dict[str, Any]) -> FileDataset:
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset
