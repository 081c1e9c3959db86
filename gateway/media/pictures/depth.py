"""Samples of more than 8 bits brought to 8 by the bits that they hold, and not by those that their type has."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]

_FEWEST = 8


def held_bits(samples: npt.NDArray[np.uint16]) -> int:
    """Return how many bits samples hold, 8 to 16.

    Cameras of 10, 11, 12 and 14 bits store them in files of 16: the brightest sample tells.
    """
    return max(int(samples.max()).bit_length(), _FEWEST)


def to_eight_bits(samples: npt.NDArray[np.uint16], bits: int) -> UInt8:
    """Return samples of so many bits, scaled so that the largest becomes 255 and rounded."""
    return np.asarray(cv2.convertScaleAbs(samples, alpha=255 / ((1 << bits) - 1)), np.uint8)
