"""Training samples: photographs scaled, cropped, flipped and shown in another light, always the same of a step.

Sample `index` of step `step` depends on nothing but the seed and these two numbers, so a resumed run continues with
exactly the samples it would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.errors import DataError
from export.networks.colours import IMAGENET
from export.tasks.waste.data import LabelledPhoto
from export.training.augment import degrade, relight_one
from gateway.vision.resizing import fitted

UInt8 = NDArray[np.uint8]

IGNORED = 255
"""Label of what lies outside a photograph, and of what data leaves unjudged."""

_WHITE = (255.0, 255.0, 255.0)
_MEAN_COLOUR = tuple(255 * channel for channel in IMAGENET.mean)
_TRIES = 10


@dataclass(frozen=True)
class Photo:
    """A photograph at the scale of the training: uint8 (H, W, 3) RGB and its label map uint8 (H, W)."""

    image: UInt8
    labels: UInt8

    def without_labels(self) -> Photo:
        """Return it as one that nobody labelled: crops of it are not chosen by what it shows."""
        return Photo(self.image, np.full_like(self.labels, IGNORED))


@dataclass(frozen=True)
class Light:
    """How far a sample's light may be from the photograph's; each change is made to half of the samples.

    Attributes:
        brightness: most levels added or taken.
        contrast: least factor; the greatest is as much above 1 as this is below.
        saturation: likewise.
        hue: most degrees of the colour circle.
        sensor: share of the samples that another camera took as well; see `relight_one` and `degrade`.
    """

    brightness: float = 32.0
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 36.0
    sensor: float = 0.0


@dataclass(frozen=True)
class Draw:
    """How samples are made.

    Attributes:
        batch: samples per step.
        crop: side of a sample, in pixels.
        smallest: least factor by which a photograph is scaled.
        largest: greatest factor.
        turn: standard deviation of the rotation, in degrees.
        most: largest share of a sample that one class may have, where ten tries find such a crop.
        letterboxed: share of the samples that show the whole photograph between white bars, which are background.
        mirrored: whether the photograph goes on, mirrored, beyond its border; else that counts for nothing.
        light: how far its light is changed.
    """

    batch: int
    crop: int
    smallest: float = 0.5
    largest: float = 2.0
    turn: float = 0.0
    most: float = 0.75
    letterboxed: float = 0.0
    mirrored: bool = False
    light: Light = Light()


@dataclass(frozen=True)
class Batch:
    """Samples of one step: images (N, S, S, 3) RGB and labels (N, S, S), uint8."""

    images: UInt8
    labels: UInt8


def load_photo(photo: LabelledPhoto, short: int, long: int, classes: int) -> Photo:
    """Return a photograph at the scale that its sides fit `short` and `long`.

    Raises:
        DataError: it cannot be read, its label map has another size, or values that are no labels.
    """
    image, labels = photo.read_image(), photo.read_labels()
    if image.shape[:2] != labels.shape:
        raise DataError(f"{photo.name} is {image.shape[:2]}, its label map {labels.shape}")
    if strangers := set(np.unique(labels).tolist()) - {*range(classes), IGNORED}:
        raise DataError(f"the label map of {photo.name} has the values {sorted(strangers)}")
    height, width = fitted((image.shape[0], image.shape[1]), short, long)
    return Photo(
        np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8),
        np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8),
    )


class Sampler:
    """Takes batches of randomly changed crops.

    Args:
        photos: with labels.
        draw: how samples are made.
        seed: of all of them.
        bare: photographs without labels; where there are any, a batch has as many samples of them again, which come
            last and whose labels are all 255.
    """

    def __init__(self, photos: Sequence[Photo], draw: Draw, seed: int, bare: Sequence[Photo] = ()) -> None:
        """Keep the photographs.

        Raises:
            ValueError: there is none.
        """
        if not photos:
            raise ValueError("nothing to train on: no photograph of the split train")
        self._photos, self._draw, self._seed, self._bare = list(photos), draw, seed, list(bare)

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        drawn = [self._photos] * self._draw.batch + ([self._bare] * self._draw.batch if self._bare else [])
        rngs = (np.random.default_rng((self._seed, step, index)) for index in range(len(drawn)))
        images, labels = (np.stack(part) for part in zip(*map(self._sample, rngs, drawn), strict=True))
        if self._bare:
            labels[self._draw.batch :] = IGNORED
        return Batch(images, labels)

    def _sample(self, rng: Generator, photos: Sequence[Photo]) -> tuple[UInt8, UInt8]:
        draw = self._draw
        photo = photos[int(rng.integers(len(photos)))]
        if rng.random() < draw.letterboxed:
            places = _whole(rng, draw, photo)
            image = _warped(photo.image, places, draw.crop, cv2.INTER_LINEAR, _WHITE)
            return _relit(rng, draw.light, image), _warped(photo.labels, places, draw.crop, cv2.INTER_NEAREST, (0,))
        places = _anywhere(rng, draw, photo)
        image = _warped(photo.image, places, draw.crop, cv2.INTER_LINEAR, None if draw.mirrored else _MEAN_COLOUR)
        return _relit(rng, draw.light, image), _labels(photo, places, draw)


def _labels(photo: Photo, places: NDArray[np.float64], draw: Draw) -> UInt8:
    return _warped(photo.labels, places, draw.crop, cv2.INTER_NEAREST, None if draw.mirrored else (IGNORED,))


def _anywhere(rng: Generator, draw: Draw, photo: Photo) -> NDArray[np.float64]:
    """Return the affine, (2, 3), from a random crop's pixels to the photograph's; not of one class alone, if it can."""
    height, width = photo.labels.shape
    scale = rng.uniform(draw.smallest, draw.largest)
    angle, flip = math.radians(rng.normal(0, draw.turn)), rng.choice((-1.0, 1.0))
    # How far from the photograph's middle the crop's may be: nowhere along a side that the crop is longer than.
    free = np.maximum(np.array([width, height]) - draw.crop / scale, 0) / 2
    for _ in range(_TRIES):
        middle = np.array([width - 1, height - 1]) / 2 + rng.uniform(-1, 1, 2) * free
        places = _affine(middle, scale, angle, flip, draw.crop)
        labels = _labels(photo, places, draw)
        judged = labels[labels != IGNORED]
        if np.bincount(judged).max(initial=0) <= draw.most * judged.size:
            break
    return places


def _whole(rng: Generator, draw: Draw, photo: Photo) -> NDArray[np.float64]:
    """Return the affine, (2, 3), from the pixels of a sample that just holds the photograph to the photograph's."""
    height, width = photo.labels.shape
    middle = np.array([width - 1, height - 1]) / 2
    return _affine(middle, draw.crop / max(height, width), 0.0, rng.choice((-1.0, 1.0)), draw.crop)


def _affine(middle: NDArray[np.float64], scale: float, angle: float, flip: float, crop: int) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    linear = np.array([[cosine * flip, -sine], [sine * flip, cosine]])
    return np.column_stack([linear, middle - linear @ np.full(2, (crop - 1) / 2)])


def _warped(
    source: UInt8, places: NDArray[np.float64], crop: int, interpolation: int, outside: tuple[float, ...] | None
) -> UInt8:
    """Return the (crop, crop) pixels at `places`; beyond the border is `outside`, or with None the mirror image."""
    warped = cv2.warpAffine(
        source,
        places,
        (crop, crop),
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101 if outside is None else cv2.BORDER_CONSTANT,
        borderValue=outside or (0,),
    )
    return np.asarray(warped, np.uint8)


def _relit(rng: Generator, light: Light, image: UInt8) -> UInt8:
    """Return the image with brightness, contrast, saturation and hue changed at random."""
    # Nothing is drawn where no camera changes: the samples of older recipes stay as they are.
    if light.sensor and rng.random() < light.sensor:
        image = degrade(rng, relight_one(rng, image))
    levels = image.astype(np.float32)
    if rng.random() < 0.5:
        levels += np.float32(rng.uniform(-light.brightness, light.brightness))
    if rng.random() < 0.5:
        levels *= np.float32(rng.uniform(light.contrast, 2 - light.contrast))
    image = np.clip(levels, 0, 255).astype(np.uint8)
    saturated, turned = rng.random(2) < 0.5
    if not saturated and not turned:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    if saturated:
        hsv[..., 1] = cv2.convertScaleAbs(hsv[..., 1], alpha=rng.uniform(light.saturation, 2 - light.saturation))
    if turned:
        # OpenCV holds the circle of 360 degrees in 180 levels.
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + round(rng.uniform(-light.hue, light.hue) / 2)) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
