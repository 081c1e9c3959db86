"""CTs of air with one marked block, as series, file or volume, for whoever calls the route."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray

from tests.support.dicoms import ct, enhanced, saved, zipped

Array = NDArray[Any]

SIDE = 64
"""Twice the grid of the trivial model: it keeps aligned blocks of 2×2 pixels as they are."""
AIR, GLASS, DENSE = -1000, -500, 0
TISSUE, TISSUE_ROWS = 200, 2
ROW, COLUMN = 20, 46
"""The first pixel of the block."""

# Across a tilted table: no axis is the patient's, and no cosine a round number.
OBLIQUE = (0.9659258263, 0.2588190451, 0.0, -0.1830127019, 0.6830127019, 0.7071067812)
ORIGIN = np.array([5.0, -7.0, 11.0])
ROW_SPACING, COLUMN_SPACING, STEP = 0.7, 0.6, 2.5


def marked(value: int | None) -> Array:
    """Return a slice of air, with a block of 2×2 pixels of `value` Hounsfield units where one is given."""
    pixels = np.full((SIDE, SIDE), AIR, np.int16)
    if value is not None:
        pixels[ROW : ROW + 2, COLUMN : COLUMN + 2] = value
    return pixels


def drawn_chest() -> Array:
    """Return a slice of soft tissue with two lungs in air, int16, Hounsfield units."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    pixels = np.full((SIDE, SIDE), AIR, np.int16)
    pixels[((x - 0.5) / 0.46) ** 2 + ((y - 0.5) / 0.34) ** 2 < 1] = 40
    for middle in (0.3, 0.7):
        pixels[((x - middle) / 0.15) ** 2 + ((y - 0.48) / 0.23) ** 2 < 1] = -850
    return pixels


def slices(count: int, where: int, orientation: Sequence[float] = OBLIQUE, **attributes: Any) -> list[bytes]:
    """Return the files of a series in order of their place, the one of number `where` with the mark."""
    normal = np.cross(orientation[:3], orientation[3:])
    return [
        saved(
            ct(
                marked(GLASS if number == where else None),
                position=ORIGIN + number * STEP * normal,
                orientation=orientation,
                spacing=(ROW_SPACING, COLUMN_SPACING),
                instance=number + 1,
                **{"SliceThickness": STEP, "BodyPartExamined": "CHEST", **attributes},
            )
        )
        for number in range(count)
    ]


def series(count: int = 5, where: int = 3, **options: Any) -> bytes:
    """Return a zipped series whose names say another order than the places."""
    files = slices(count, where, **options)
    return zipped((f"{(7 * number) % 61:03d}.dcm", content) for number, content in enumerate(files))


def multi_frame(count: int = 4, where: int = 1) -> bytes:
    """Return an enhanced CT whose frames are stored from head to foot."""
    frames = [marked(GLASS if number == where else None) for number in range(count)]
    heights = [(0.0, 0.0, STEP * number) for number in range(count)]
    return saved(enhanced(frames[::-1], heights[::-1], BodyPartExamined="CHEST"))


def nifti(affine: Array, count: int = 5, where: int = 3) -> bytes:
    """Return a NIfTI volume whose array [column, row, slice] has the mark, and soft tissue on its first rows.

    NIfTI does not say that its values are Hounsfield units; without the tissue they could not be those of a chest.
    """
    planes = [marked(GLASS if number == where else None) for number in range(count)]
    for plane in planes:
        plane[:TISSUE_ROWS] = TISSUE
    voxels = np.stack([plane.T for plane in planes], axis=-1)
    data: bytes = nibabel.Nifti1Image(voxels, affine).to_bytes()
    return data


def place_of_mark(where: int = 3, orientation: Sequence[float] = OBLIQUE) -> Array:
    """Return where in the patient the first pixel of the mark lies, DICOM's way round."""
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    in_plane = COLUMN * COLUMN_SPACING * along_row + ROW * ROW_SPACING * along_column
    return np.asarray(ORIGIN + where * STEP * normal + in_plane)


def places_in_seg(data: bytes) -> Array:
    """Return where in the patient the labelled pixels of a DICOM SEG lie, (n, 3), in the order of its frames."""
    segmentation = highdicom.seg.segread(io.BytesIO(data))
    found = []
    for number, frame in enumerate(np.atleast_3d(segmentation.pixel_array).reshape(-1, *_size(segmentation))):
        groups = segmentation.PerFrameFunctionalGroupsSequence[number]
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            steps = np.multiply(orientation[:3], column * spacing[1]) + np.multiply(orientation[3:], row * spacing[0])
            found.append(origin + steps)
    return np.array(found)


def _size(segmentation: pydicom.Dataset) -> tuple[int, int]:
    return int(segmentation.Rows), int(segmentation.Columns)
