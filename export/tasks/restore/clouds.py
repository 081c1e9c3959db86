"""Clouds drawn over images of the ground, with what they hide known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

Kind = Literal["haze", "cirrus", "cumulus", "sheet"]
KINDS: tuple[Kind, ...] = ("haze", "cirrus", "cumulus", "sheet")


@dataclass(frozen=True)
class Clouded:
    """An image under clouds.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        cover: uint8 (H, W), 255 times the share of a pixel's light that is not the ground's, or that it lacks.
    """

    image: UInt8
    cover: UInt8


@dataclass(frozen=True)
class _Sky:
    """What lies between the ground and the camera.

    Attributes:
        opacity: (H, W) from 0 to 1.
        light: of the cloud, (H, W, 3) or less from 0 to 1.
        shadow: on the ground, (H, W) from 0 to 1; None: there is none.
    """

    opacity: Float32
    light: Float32
    shadow: Float32 | None = None


def drawn_over(rng: Generator, image: UInt8, kind: Kind) -> Clouded:
    """Return an image, uint8 (H, W, 3), under clouds of a kind."""
    height, width = image.shape[:2]
    sky = _SKIES[kind](rng, height, width)
    ground = image.astype(np.float32) / 255
    lit = np.ones((height, width), np.float32) if sky.shadow is None else 1 - sky.shadow
    through = (1 - sky.opacity)[..., None]
    seen = ground * lit[..., None] * through + sky.light * (1 - through)
    return Clouded(_levels(seen), _levels(1 - lit * (1 - sky.opacity)))


def cover_between(cloudy: UInt8, clear: UInt8) -> UInt8:
    """Return the cover, as of `Clouded`, of an image of which the same ground without clouds is known.

    What is brighter than the ground is taken for white cloud, what is darker for shadow.

    Args:
        cloudy: uint8 (H, W, 3).
        clear: of the same shape.
    """
    seen, ground = (cv2.blur(each.astype(np.float32).mean(axis=-1) / 255, (3, 3)) for each in (cloudy, clear))
    brighter = np.maximum(seen - ground, 0) / np.maximum(1 - ground, 0.1)
    darker = np.maximum(ground - seen, 0) / np.maximum(ground, 0.1)
    return _levels(brighter + darker)


def _haze(rng: Generator, height: int, width: int) -> _Sky:
    """Return a veil over everything."""
    field = _field(rng, height, width, cells=2, octaves=2)
    opacity = rng.uniform(0.1, 0.6) + rng.uniform(0, 0.35) * (field - 0.5)
    return _Sky(np.clip(opacity, 0, 0.85), _light(rng, 0.55, 0.95))


def _cirrus(rng: Generator, height: int, width: int) -> _Sky:
    """Return thin streaks in one direction."""
    angle, side = rng.uniform(0, math.pi), 2 * max(height, width)
    field = _field(rng, side, side // 6, cells=4, octaves=4)
    stretched = cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), math.degrees(angle), 1)
    turned = cv2.warpAffine(stretched, turn, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    top, left = (side - height) // 2, (side - width) // 2
    opacity = rng.uniform(0.3, 0.9) * np.square(turned[top : top + height, left : left + width])
    return _Sky(opacity.astype(np.float32), _light(rng, 0.8, 1.0))


def _cumulus(rng: Generator, height: int, width: int) -> _Sky:
    """Return thick heaps with soft edges, and their shadows beside them."""
    field = _field(rng, height, width, cells=int(rng.integers(2, 7)), octaves=5)
    heaps = _above(field, rng.uniform(0.5, 0.95), rng.uniform(0.04, 0.2)) * rng.uniform(0.85, 1)
    shade = 1 - rng.uniform(0, 0.35) * _field(rng, height, width, cells=8, octaves=3)
    light = _light(rng, 0.8, 1.05) * shade[..., None]
    far, angle = rng.uniform(0.03, 0.25) * min(height, width), rng.uniform(0, 2 * math.pi)
    offset = np.array([[1, 0, far * math.cos(angle)], [0, 1, far * math.sin(angle)]])
    fallen = cv2.warpAffine(heaps, offset, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    shadow = rng.uniform(0.2, 0.65) * cv2.GaussianBlur(fallen, (0, 0), 2)
    return _Sky(heaps, light, shadow)


def _sheet(rng: Generator, height: int, width: int) -> _Sky:
    """Return a layer with wide soft edges."""
    field = _field(rng, height, width, cells=2, octaves=4)
    return _Sky(_above(field, rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.6)) * rng.uniform(0.5, 1), _light(rng, 0.7, 1))


_SKIES: Mapping[Kind, Callable[[Generator, int, int], _Sky]] = {
    "haze": _haze,
    "cirrus": _cirrus,
    "cumulus": _cumulus,
    "sheet": _sheet,
}


def _field(rng: Generator, height: int, width: int, cells: int, octaves: int) -> Float32:
    """Return a cloudy texture, (height, width) from 0 to 1: noise of `cells` cells a side, and finer and weaker."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        grid = rng.random((cells << octave, cells << octave), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / (1 << octave)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _above(field: Float32, share: float, soft: float) -> Float32:
    """Return 1 where a field is above the value that `share` of it is below, 0 where it is `soft` lower."""
    low = np.quantile(field, share) - soft / 2
    rise = np.clip((field - low) / soft, 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)


def _light(rng: Generator, low: float, high: float) -> Float32:
    """Return the colour of cloud: grey to white, a little warmer or colder."""
    return (rng.uniform(low, high) + rng.normal(0, 0.012, 3)).astype(np.float32)


def _levels(share: Float32) -> UInt8:
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
