"""Evidence drawn over a grey picture as heat, as PNG."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.pictures.png import bands, rgb_png, up_filtered

UInt8 = npt.NDArray[np.uint8]

# Of the strongest evidence; the picture stays to be seen beneath it.
_OPACITY = 0.6
# Turbo up to its brightest red: beyond, it darkens, and what is strongest would look weak.
_HOTTEST = 225


def encode_heat_overlay(grey: UInt8, evidence: UInt8) -> bytes:
    """Return an RGB PNG of a picture with evidence over it, from blue (little) to red; without any it shows unchanged.

    Args:
        grey: uint8, (height, width).
        evidence: uint8, (height, width), 0: none.
    """
    height, width = grey.shape
    table = _colours()
    pictures = (table[evidence[rows], grey[rows]] for rows in bands(height, width))
    return rgb_png(width, height, up_filtered(pictures, width))


@cache
def _colours() -> UInt8:
    """Return the colour of each evidence over each grey value, uint8, (256, 256, 3), RGB."""
    levels = np.arange(256, dtype=np.uint8)
    stops = np.rint(levels * (_HOTTEST / 255)).astype(np.uint8)
    heat = cv2.cvtColor(cv2.applyColorMap(stops[:, None], cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB).astype(np.float64)
    opacity = (_OPACITY * levels / 255)[:, None, None]
    return np.asarray(np.rint(opacity * heat + (1 - opacity) * levels[None, :, None]), np.uint8)
