"""Hounsfield units to grey and back, and what pixels of a slice measure.

One window for training and serving, so that they cannot drift apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

# Wide enough for aerated lung and for effusion.
LUNG_WINDOW = (-1250.0, 250.0)

_MM3_PER_ML = 1000.0


def apply_window(hounsfield: npt.NDArray[np.generic], window: tuple[float, float] = LUNG_WINDOW) -> Float32:
    """Return values as float32, 0 at the window's lower end and below, 1 at its upper end and above.

    Args:
        hounsfield: any shape.
        window: (lower, upper) end.
    """
    lower, upper = window
    scaled = (hounsfield.astype(np.float32) - np.float32(lower)) / np.float32(upper - lower)
    return np.clip(scaled, 0, 1, out=scaled)


def undo_window(grey: UInt8, window: tuple[float, float] = LUNG_WINDOW) -> Int16:
    """Return the Hounsfield units, rounded, that a window made 8-bit grey values of: 0 is its lower end, 255 its upper.

    What was beyond the window stays lost.
    """
    lower, upper = window
    table = np.rint(np.linspace(lower, upper, 256)).astype(np.int16)
    return table[grey]


def apply_linear_window(values: Float32, centre: float, width: float) -> Float32:
    """Return values as 0–1 through DICOM's linear window (PS3.3 C.11.2.1.2.1).

    Args:
        values: any shape.
        centre: the window's centre.
        width: its width, at least 1; of width 1 it is a threshold.
    """
    if width <= 1:
        return np.asarray(values > centre - 0.5, np.float32)
    scaled = (values - np.float32(centre - 0.5)) / np.float32(width - 1) + np.float32(0.5)
    return np.clip(scaled, 0, 1, out=scaled)


def pixels_to_mm2(pixels: int, row_spacing: float, column_spacing: float) -> float:
    """Return the area of pixels whose centres lie such distances apart, in mm."""
    return pixels * row_spacing * column_spacing


def voxels_to_ml(voxels: int, row_spacing: float, column_spacing: float, slice_spacing: float) -> float:
    """Return the volume of voxels whose centres lie such distances apart, in mm."""
    return voxels * row_spacing * column_spacing * slice_spacing / _MM3_PER_ML
