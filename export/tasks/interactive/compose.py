"""New photographs from old ones: objects before other backgrounds, behind other objects, turned and rescaled.

Images are uint8 (H, W, 3) RGB, masks bool (H, W); every function takes its randomness from the generator given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.training.augment import relight

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Photo:
    """An image and the mask of one object in it."""

    image: Pixels
    mask: Mask


def compose(rng: Generator, photo: Photo, others: Sequence[Photo]) -> Photo:
    """Return the object of `photo` before another photograph's background, sometimes behind a third one's object."""
    size = (photo.mask.shape[1], photo.mask.shape[0])
    behind = _stretched(rng, others[int(rng.integers(len(others)))].image, size)
    scene, _ = relight(rng, behind, behind)
    if rng.random() < 0.4:
        scene, _ = _pasted(rng, scene, others[int(rng.integers(len(others)))])
    front, _ = relight(rng, photo.image, photo.image) if rng.random() < 0.5 else (photo.image, photo.image)
    image, mask = _over(rng, scene, front, photo.mask), photo.mask
    if rng.random() < 0.25:
        image, hidden = _pasted(rng, image, others[int(rng.integers(len(others)))])
        if (mask & ~hidden).sum() > 0.5 * mask.sum():
            mask = mask & ~hidden
        else:
            image = _over(rng, scene, front, photo.mask)
    return Photo(image, mask)


def stranger(rng: Generator, photo: Photo, others: Sequence[Photo]) -> Photo:
    """Return an object that never was: a piece of one photograph in the outline of another's object, or in a drawn one.

    What makes it one object is its edge alone; from few photographs a network learns most about edges that way.
    """
    height, width = photo.mask.shape
    texture = _stretched(rng, others[int(rng.integers(len(others)))].image, (width, height))
    outline = photo.mask if rng.random() < 0.5 else _blob(rng, height, width)
    return compose(rng, Photo(texture, outline), others)


def turn(rng: Generator, photo: Photo, longest: float, reach: float) -> Photo:
    """Return the photograph flipped, turned by up to `reach` radians and rescaled, its object `longest` pixels at most.

    Beyond the border the image is mirrored, the mask empty.
    """
    height, width = photo.mask.shape
    rows, columns = np.flatnonzero(photo.mask.any(axis=1)), np.flatnonzero(photo.mask.any(axis=0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    scale = min(math.exp(rng.uniform(math.log(0.5), math.log(1.5))), longest / extent)
    angle = rng.uniform(-reach, reach) if rng.random() < 0.6 else 0.0
    flip = rng.choice((-1.0, 1.0))
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cosine * flip, -sine], [sine * flip, cosine]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ linear.T
    # The frame of the photograph stays as large as it was, around where its middle went.
    middle = corners.mean(axis=0)
    frame = (max(16, round(width * scale)), max(16, round(height * scale)))
    transform = np.column_stack([linear, np.array(frame) / 2 - middle])
    image = cv2.warpAffine(
        photo.image, transform, frame, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.uint8, copy=False)
    mask = cv2.warpAffine(photo.mask.astype(np.uint8) * 255, transform, frame, flags=cv2.INTER_LINEAR) > 127
    return Photo(image, mask) if mask.sum() >= 64 else photo


def _blob(rng: Generator, height: int, width: int) -> Mask:
    """Return a smooth closed outline, filled: a circle whose radius has random harmonics, stretched and turned."""
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    radius = np.ones_like(angles)
    for harmonic in range(2, int(rng.integers(3, 9))):
        radius += rng.normal(0, 0.5 / harmonic) * np.cos(harmonic * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.2, 2) * rng.uniform(0.12, 0.3) * min(height, width)
    stretch, turned = rng.uniform(0.5, 1), rng.uniform(0, np.pi)
    x, y = radius * np.cos(angles), stretch * radius * np.sin(angles)
    points = np.stack([x * np.cos(turned) - y * np.sin(turned), x * np.sin(turned) + y * np.cos(turned)], axis=1)
    points += (rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], (1,))
    return mask > 0


def _stretched(rng: Generator, image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a random part of an image, at least a half of each side, flipped or not, as (width, height)."""
    height, width = image.shape[:2]
    h, w = (int(side * rng.uniform(0.5, 1)) for side in (height, width))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    part = image[top : top + h, left : left + w]
    return np.asarray(cv2.resize(part[:, :: int(rng.choice((-1, 1)))], size), np.uint8)


def _pasted(rng: Generator, scene: Pixels, other: Photo) -> tuple[Pixels, Mask]:
    """Return the scene with another photograph's object somewhere in it, and where that is."""
    height, width = scene.shape[:2]
    scale = rng.uniform(0.4, 1.1) * min(height / other.mask.shape[0], width / other.mask.shape[1])
    turned = np.array([[scale * rng.choice((-1.0, 1.0)), 0], [0, scale]])
    rows, columns = np.nonzero(other.mask)
    centre = turned @ (columns.mean(), rows.mean())
    offset = (rng.uniform(0, width), rng.uniform(0, height)) - centre
    transform = np.column_stack([turned, offset])
    image = cv2.warpAffine(other.image, transform, (width, height)).astype(np.uint8, copy=False)
    mask = cv2.warpAffine(other.mask.astype(np.uint8) * 255, transform, (width, height)) > 127
    return _over(rng, scene, image, mask), mask


def _over(rng: Generator, scene: Pixels, front: Pixels, mask: Mask) -> Pixels:
    """Return the scene with `front` where the mask is, its edge as soft as a lens makes it."""
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rng.uniform(0.4, 1.2))[..., None]
    return (scene + (front.astype(np.float32) - scene) * alpha).astype(np.uint8)
