"""Images drawn by code: photographs of things on a ground, one of them marked, waste on a belt, and chests."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from math import cos, pi, sin, tau
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Int16 = NDArray[np.int16]
UInt8 = NDArray[np.uint8]

_AIR, _LUNG, _BODY, _LESION = -1000, -850, 40, -450
_INTERCEPT = -1024


@dataclass(frozen=True)
class Thing:
    """A photograph and the object in it.

    Attributes:
        pixels: uint8 (height, width, 3), RGB.
        mask: bool (height, width), where the object is.
    """

    pixels: UInt8
    mask: NDArray[np.bool_]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The object's corners x0, y0, x1, y1."""
        rows, columns = np.nonzero(self.mask)
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1

    @property
    def centre(self) -> tuple[int, int]:
        """A point (x, y) of the object, about its middle."""
        rows, columns = np.nonzero(self.mask)
        return nearest(rows, columns)


def nearest(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[int, int]:
    """Return the one (x, y) of some pixels that is nearest to the middle of all."""
    at = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return int(columns[at]), int(rows[at])


def draw_thing(seed: int, width: int, height: int) -> Thing:
    """Return a bright thing of rounded outline on a dark, uneven ground."""
    rng = np.random.default_rng((seed, width, height))
    picture, mask = _uneven(rng, width, height, 16, (20, 90)), Image.new("L", (width, height))
    x, y = width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6)
    ImageDraw.Draw(mask).polygon(_outline(rng, x, y, min(width, height) * rng.uniform(0.2, 0.3)), fill=255)
    picture.paste(_uneven(rng, width, height, 8, (170, 250)), mask=mask)
    return Thing(np.asarray(picture), np.asarray(mask) > 0)


def draw_waste(seed: int, width: int, height: int) -> UInt8:
    """Return a belt with bags and boxes on it, uint8 (height, width, 3), RGB."""
    rng = np.random.default_rng((seed, width, height))
    picture = _uneven(rng, width, height, 24, (60, 110))
    draw = ImageDraw.Draw(picture)
    for _ in range(24):
        colour = tuple(int(channel) for channel in rng.integers(30, 256, 3))
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), min(width, height) * rng.uniform(0.04, 0.15)
        draw.polygon(_outline(rng, x, y, size), fill=colour, outline=(20, 20, 20))
    return np.asarray(picture)


def encoded(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    """Return pixels as an image file, "PNG" or "JPEG"; a PNG is packed as fast as can be."""
    target = BytesIO()
    Image.fromarray(pixels).save(target, kind, **({"compress_level": 1} if kind == "PNG" else {}), **options)
    return target.getvalue()


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


def draw_radiograph(seed: int, width: int, height: int) -> UInt8:
    """Return a chest radiograph, uint8 (height, width), bone bright."""
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


def _uneven(rng: np.random.Generator, width: int, height: int, cell: int, tones: tuple[int, int]) -> Image.Image:
    """Return smooth colours between two tones that change about every `cell` pixels."""
    coarse = rng.integers(*tones, (height // cell + 2, width // cell + 2, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def _outline(rng: np.random.Generator, x: float, y: float, size: float) -> list[tuple[float, float]]:
    """Return a closed line about (x, y), `size` pixels from it, more here and less there."""
    turns = [tau * n / 24 for n in range(24)]
    first, second = rng.uniform(0, 2 * pi, 2)
    reach = [size * (1 + 0.12 * sin(2 * turn + first) + 0.08 * sin(3 * turn + second)) for turn in turns]
    return [(x + r * cos(turn), y + r * sin(turn)) for r, turn in zip(reach, turns, strict=True)]
