"""Noise and tone: the parts of a drawn picture that are arrays rather than shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

RGB = tuple[int, int, int]
Field = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def noise(rng: np.random.Generator, size: int, cell: float, octaves: int) -> Field:
    """Return value noise, float32 (size, size), zero mean and unit deviation.

    Each octave is a random grid, interpolated bicubically: the first has one value per `cell` pixels, each
    further one twice as many at half the weight.
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        side = max(2, round(size * 2**octave / cell))
        grid = rng.standard_normal((side, side), np.float32) * 0.5**octave
        total += np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))
    total -= total.mean()
    total /= total.std() + np.float32(1e-6)
    return total


def blend(base: Field, colour: RGB | Field, weight: Field) -> Field:
    """Return `base` (H, W, 3) mixed with `colour`, `weight` (H, W) in [0, 1] of the latter."""
    return base + (np.asarray(colour, np.float32) - base) * weight[..., None]


def soften(mask: Image.Image, radius: float) -> Field:
    """Return an ``L`` mask blurred by `radius` pixels, as float32 (H, W) in [0, 1]."""
    return np.asarray(mask.filter(ImageFilter.BoxBlur(radius)), np.float32) / np.float32(255)


def to_pixels(values: Field) -> Pixels:
    """Return `values` clipped to 0–255 as uint8."""
    return values.clip(0, 255).astype(np.uint8)


def tone(colour: RGB, factor: float) -> RGB:
    """Return `colour` made lighter (factor > 1) or darker (< 1)."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def vary(rng: np.random.Generator, colour: RGB, spread: int) -> RGB:
    """Return `colour` with each channel moved by at most `spread`, and all together by as much again."""
    together = int(rng.integers(-spread, spread + 1))
    red, green, blue = (
        min(255, max(0, channel + together + int(rng.integers(-spread // 2, spread // 2 + 1)))) for channel in colour
    )
    return red, green, blue
