"""Hounsfield units, windows of them, and the grid on which networks of CT see a slice.

Training and serving share these functions, so that a network is asked what it was taught.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """The Hounsfield units from `low`, shown black, to `high`, shown white."""

    low: float
    high: float


LUNG = Window(-1250.0, 250.0)
"""The window of CT networks, unless a card names another."""


def from_windowed(pixels: NDArray[np.uint8], window: Window) -> NDArray[np.int16]:
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


def to_grid(units: NDArray[np.int16], size: int) -> NDArray[np.int16]:
    """Return a slice (H, W) on a grid (size, size), averaged where that is coarser, else interpolated bilinearly.

    The proportions of the sides are not kept.
    """
    shrinks = min(units.shape) >= size
    resized = cv2.resize(units, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.int16)


def from_grid(probabilities: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return quantised probabilities (T, T, C) of a network's grid on the slice's own, (height, width, C), bilinear."""
    resized = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
