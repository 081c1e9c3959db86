"""How alike two images are: PSNR and SSIM, of all pixels or of some."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Float64 = NDArray[np.float64]

MOST_DECIBELS = 100.0
"""PSNR of equal images, which has no value."""

_WINDOW, _SIGMA = 11, 1.5
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2


def psnr(found: UInt8, truth: UInt8, where: Mask | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB of an image, uint8 (H, W, 3).

    Args:
        found: the image.
        truth: what it should be.
        where: bool (H, W), the pixels that count, one at least; None: all.
    """
    squared = np.square((found.astype(np.float32) - truth) / 255)
    error = float(np.mean(squared if where is None else squared[where], dtype=np.float64))
    return min(-10 * math.log10(error), MOST_DECIBELS) if error else MOST_DECIBELS


def ssim(found: UInt8, truth: UInt8, where: Mask | None = None) -> float:
    """Return the structural similarity (Wang et al., 2004), a mean over channels and pixels; as `psnr`.

    The window is a Gaussian of 11 pixels with a standard deviation of 1.5; the five pixels at each border, where it
    would reach beyond the image, count only if no others do.
    """
    return mean_similarity(similarity(found, truth), where)


def similarity(found: UInt8, truth: UInt8) -> Float64:
    """Return the structural similarity at each pixel, float64 (H, W, 3), of images as of `ssim`."""
    x, y = found.astype(np.float64) / 255, truth.astype(np.float64) / 255
    mean_x, mean_y = _smoothed(x), _smoothed(y)
    spread_x, spread_y = _smoothed(x * x) - mean_x**2, _smoothed(y * y) - mean_y**2
    shared = _smoothed(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + _LUMINANCE) / (mean_x**2 + mean_y**2 + _LUMINANCE)
    similar: Float64 = alike * (2 * shared + _CONTRAST) / (spread_x + spread_y + _CONTRAST)
    return similar


def mean_similarity(similar: Float64, where: Mask | None = None) -> float:
    """Return the mean of what `similarity` returned, over the pixels that count; see `ssim`."""
    chosen = np.ones(similar.shape[:2], np.bool_) if where is None else where
    border = _WINDOW // 2
    inside = np.zeros_like(chosen)
    inside[border:-border, border:-border] = chosen[border:-border, border:-border]
    return float(similar[inside if inside.any() else chosen].mean())


def _smoothed(x: Float64) -> Float64:
    blurred = cv2.GaussianBlur(x, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float64)
