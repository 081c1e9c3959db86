"""Random changes of an image pair: geometry that images and labels share, light and sensor that each image has alone.

Images are uint8 (H, W, 3) RGB, label maps uint8 (H, W); every function takes its randomness from the generator given.
"""

from __future__ import annotations

import math
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.uint8]
L = TypeVar("L", Image, NDArray[np.uint16], NDArray[np.float32])


def crop_transform(rng: Generator, centre: tuple[float, float], size: int) -> NDArray[np.float64]:
    """Return a 2x3 affine that maps a (size, size) crop around ``centre`` (x, y) to source pixels.

    It flips, turns by any quarter and a little more, and scales by 0.7 to 1.4.
    """
    angle = rng.integers(4) * math.pi / 2 + rng.normal(0, 0.12)
    scale = math.exp(rng.uniform(math.log(0.7), math.log(1.4)))
    flip = rng.choice((-1.0, 1.0))
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    linear = np.array([[cosine * flip, -sine], [sine * flip, cosine]])
    middle = (size - 1) / 2
    offset = np.asarray(centre) - linear @ (middle, middle)
    return np.column_stack([linear, offset])


def shift(rng: Generator, transform: NDArray[np.float64], pixels: float) -> NDArray[np.float64]:
    """Return the transform moved by a normal offset with that standard deviation: misregistration of the pair."""
    moved = transform.copy()
    moved[:, 2] += rng.normal(0, pixels, 2)
    return moved


def warp_image(image: L, transform: NDArray[np.float64], size: int, fill: int | None = None) -> L:
    """Return the (size, size) crop, bilinear; beyond the border the image is mirrored, or has the value `fill`."""
    return _warp(image, transform, size, cv2.INTER_LINEAR, fill)


def warp_labels(labels: L, transform: NDArray[np.float64], size: int, fill: int | None = None) -> L:
    """Return the (size, size) crop of a label map, nearest neighbour; beyond the border it is as the image."""
    return _warp(labels, transform, size, cv2.INTER_NEAREST, fill)


def relight(rng: Generator, pre: Image, post: Image) -> tuple[Image, Image]:
    """Return the pair under another light: partly the same change of both, partly one of each alone."""
    shared = _light(rng, 0.6)
    return _apply_light(pre, shared + _light(rng, 0.5)), _apply_light(post, shared + _light(rng, 0.5))


def relight_one(rng: Generator, image: Image) -> Image:
    """Return an image that has no partner under another light."""
    return _apply_light(image, _light(rng, 0.8))


def degrade(rng: Generator, image: Image) -> Image:
    """Return the image as another sensor, sky or archive would give it: shade, haze, blur, noise, JPEG blocks."""
    if rng.random() < 0.25:
        image = _shade(rng, image)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3)).astype(np.uint8, copy=False)
    elif rng.random() < 0.15:
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        amount = rng.uniform(0.3, 1.2)
        image = cv2.addWeighted(image, 1 + amount, blurred, -amount, 0).astype(np.uint8, copy=False)
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(1, 9)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return image


def cloud(rng: Generator, image: Image) -> Image:
    """Return the image with a bright, soft-edged cloud over a part of it."""
    height, width = image.shape[:2]
    cells = int(rng.integers(2, 5))
    field = cv2.resize(rng.uniform(-0.6, 1.4, (cells, cells)).astype(np.float32), (width, height))
    cover = np.clip(field, 0, 1)[..., None]
    return np.asarray(image * (1 - cover) + rng.uniform(190, 250) * cover, np.uint8)


def beyond_a_line(rng: Generator, size: int) -> NDArray[np.bool_]:
    """Return what lies on one side of a random line through the middle half of a crop, bool (size, size)."""
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[:size, :size] - size / 2
    return np.asarray(x * math.cos(angle) + y * math.sin(angle) > rng.uniform(-size / 4, size / 4))


def _warp(source: L, transform: NDArray[np.float64], size: int, interpolation: int, fill: int | None) -> L:
    flags = interpolation | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REFLECT_101 if fill is None else cv2.BORDER_CONSTANT
    crop = cv2.warpAffine(
        source, transform, (size, size), flags=flags, borderMode=border, borderValue=[float(fill or 0)] * 3
    )
    return crop.astype(source.dtype, copy=False)


def _light(rng: Generator, strength: float) -> NDArray[np.float64]:
    """Return offsets of log gain, bias, log gamma, log saturation and three log channel gains."""
    return rng.normal(0, strength, 7) * (0.2, 0.08, 0.25, 0.35, 0.07, 0.07, 0.07)


def _apply_light(image: Image, light: NDArray[np.float64]) -> Image:
    gain, gamma, saturation = np.exp(light[[0, 2, 3]])
    levels = np.linspace(0, 1, 256)[:, None] ** gamma * gain * np.exp(light[4:]) + light[1]
    table = (np.clip(levels, 0, 1) * 255).astype(np.float32)
    colour = np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)
    grey = colour.mean(axis=-1, keepdims=True)
    return np.asarray(np.clip(grey + (colour - grey) * saturation, 0, 255), np.uint8)


def _shade(rng: Generator, image: Image) -> Image:
    """Return the image under a smooth field of shadow or glare, with or without haze."""
    height, width = image.shape[:2]
    cells = int(rng.integers(2, 6))
    field = cv2.resize(rng.uniform(0.45, 1.35, (cells, cells)).astype(np.float32), (width, height))[..., None]
    haze = rng.uniform(0, 0.35) * rng.integers(2)
    return np.clip(image * field * (1 - haze) + 200 * haze, 0, 255).astype(np.uint8)
