"""Chests drawn by code: slices of CT in Hounsfield units, and films."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Int16 = NDArray[np.int16]
UInt8 = NDArray[np.uint8]

_AIR, _LUNG, _BODY, _LESION = -1000, -850, 40, -450
_INTERCEPT = -1024


def draw_slice(seed: int, side: int) -> Int16:
    """Return a slice of a chest, int16 (side, side), Hounsfield units: body, two lungs, lesions in them, noise."""
    rng = np.random.default_rng((seed, side))
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    units = np.where((x / 0.9) ** 2 + (y / 0.65) ** 2 < 1, _BODY, _AIR).astype(np.float32)
    for middle in (-0.42, 0.42):
        lung = ((x - middle) / 0.33) ** 2 + (y / 0.48) ** 2 < 1
        units[lung] = _LUNG
        at_x, at_y = middle + rng.uniform(-0.15, 0.15), rng.uniform(-0.25, 0.25)
        units[lung & ((x - at_x) ** 2 + (y - at_y) ** 2 < rng.uniform(0.06, 0.14) ** 2)] = _LESION
    return np.asarray(units + rng.normal(0, 12, units.shape), np.int16)


def draw_film(seed: int, width: int, height: int) -> UInt8:
    """Return a chest film, uint8 (height, width), bone bright."""
    rng = np.random.default_rng((seed, width, height))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    tone = np.full((height, width), 150, np.float32)
    for middle in (-0.4, 0.42):
        tone[((x - middle) / 0.33) ** 2 + ((y + 0.05) / 0.62) ** 2 < 1] = 60
    tone += 35 * (np.abs(x) < 0.08) + 18 * (np.sin(14 * y + 3 * np.abs(x)) > 0.7)
    return np.asarray((tone + rng.normal(0, 6, tone.shape)).clip(0, 255), np.uint8)


def as_grey(units: Int16) -> UInt8:
    """Return a slice through the lung window, −1250 to 250 HU, as grey, uint8."""
    return np.asarray(((units.astype(np.float32) + 1250) * (255 / 1500)).clip(0, 255), np.uint8)


def as_dicom(units: Int16) -> bytes:
    """Return a slice as a DICOM file of nobody, 12 bits stored, uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.FrameOfReferenceUID, dataset.Modality = generate_uid(), "CT"
    dataset.PatientName, dataset.PatientID, dataset.BodyPartExamined = "Drawn^By Code", "0", "CHEST"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyID = "", "", "1"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "", "", ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness, dataset.InstanceNumber = [0.7, 0.7], 1.5, 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, _INTERCEPT, "HU"
    dataset.Rows, dataset.Columns = units.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = (units.astype(np.int32) - _INTERCEPT).clip(0, 4095).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
