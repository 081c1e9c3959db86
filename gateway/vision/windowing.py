"""Hounsfield units, windows of them, the grid on which networks of CT see a slice, and what its pixels measure.

Training and serving share these functions, so that a network is asked what it was taught.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

_MM3_PER_ML = 1000.0
_ZERO = 1 << 15


@dataclass(frozen=True)
class Window:
    """The Hounsfield units from `low`, shown black, to `high`, shown white."""

    low: float
    high: float


LUNG = Window(-1250.0, 250.0)
"""The window of CT networks, unless a card names another: wide enough for aerated lung and for effusion."""


_AIR, _SOFT_TISSUE = (-1100, -300), (-200, 300)
_LEAST_SHARE = 0.01
_USUAL_OFFSETS = (-1024, -1000, -32768)


class UnitsTally:
    """Whether the values of slices of a chest can be Hounsfield units: they show air or lung, and soft tissue.

    Each has to be a hundredth of what was imaged at least: −1100 to −300 and −200 to 300. Values from 0 to 1 or to 255,
    values that still want their offset, label maps and MR lack one of the two.
    """

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self._values = np.zeros(1 << 16, np.int64)

    def add(self, units: Int16, padding: int) -> None:
        """Count a slice, int16 of any shape; values up to `padding` were not imaged."""
        imaged = units[units > padding].astype(np.int32)
        self._values += np.bincount(imaged + _ZERO, minlength=1 << 16)

    def plausible(self, offset: int = 0) -> bool:
        """Return whether what was counted can be Hounsfield units, `offset` added to each value."""
        least = _LEAST_SHARE * int(self._values.sum())
        ranges = [
            (max(0, low - offset + _ZERO), max(0, high - offset + _ZERO + 1)) for low, high in (_AIR, _SOFT_TISSUE)
        ]
        return least == 0 or all(self._values[low:high].sum() >= least for low, high in ranges)

    def likely_offset(self) -> int | None:
        """Return the usual offset that makes Hounsfield units of what was counted; None: none does."""
        return next((offset for offset in _USUAL_OFFSETS if self.plausible(offset)), None)


def from_windowed(pixels: UInt8, window: Window) -> Int16:
    """Return the Hounsfield units of a slice that was stored through a window: low + value / 255 · (high − low).

    What lay outside the window is lost; 0 and 255 become its ends.

    Args:
        pixels: uint8 of any shape.
        window: within the range of int16.

    Returns:
        int16 of the same shape, rounded.
    """
    table = np.rint(np.linspace(window.low, window.high, 256)).astype(np.int16)
    return np.asarray(table[pixels])


def to_windowed(units: Int16, window: Window) -> UInt8:
    """Return a slice as a window shows it, black to white: the way back from `from_windowed`.

    Args:
        units: int16 of any shape, Hounsfield units.
        window: what lies outside becomes 0 or 255.

    Returns:
        uint8 of the same shape, rounded.
    """
    shown = (units.astype(np.float32) - np.float32(window.low)) * np.float32(255 / (window.high - window.low))
    return np.asarray(np.rint(np.clip(shown, 0, 255, out=shown)), np.uint8)


def to_grid(units: Int16, size: int) -> Int16:
    """Return a slice (H, W) on a grid (size, size), averaged where that is coarser, else interpolated bilinearly.

    The proportions of the sides are not kept.
    """
    shrinks = min(units.shape) >= size
    resized = cv2.resize(units, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.int16)


def from_grid(probabilities: UInt8, height: int, width: int) -> UInt8:
    """Return quantised probabilities (T, T, C) of a network's grid on the slice's own, (height, width, C), bilinear."""
    resized = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def apply_window(values: Float32, centre: float, width: float, function: str = "LINEAR") -> Float32:
    """Return values as 0–1 through a window of DICOM's (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Args:
        values: any shape.
        centre: the window's centre.
        width: its width, above 0; of `LINEAR` at least 1, and of width 1 that is a threshold.
        function: one of `WINDOW_FUNCTIONS`.
    """
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (values - np.float32(centre)) / np.float32(width))), np.float32)
    if function == "LINEAR_EXACT":
        return np.asarray(np.clip((values - np.float32(centre)) / np.float32(width) + np.float32(0.5), 0, 1))
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
