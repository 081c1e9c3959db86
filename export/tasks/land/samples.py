"""Training samples of land cover: crops of images held in memory at a metre a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.land.data import BLANK, Ground
from export.training import augment
from export.training.sampling import draw_samples, shares_of_sources
from gateway.tasks.land.pipeline import METRES

UInt8 = NDArray[np.uint8]

_BLANKS = (255, 255, 0)
"""Grey levels of ground without imagery: white is met more often."""


@dataclass(frozen=True)
class Seen:
    """An image at a metre a pixel, uint8 (H, W, 3) RGB, its labels, uint8 (H, W), and their source."""

    image: UInt8
    labels: UInt8
    source: str


@dataclass(frozen=True)
class Batch:
    """Samples of one step: images (N, S, S, 3) RGB and labels (N, S, S), uint8."""

    images: UInt8
    labels: UInt8


@dataclass(frozen=True)
class Draw:
    """How samples are made.

    Attributes:
        batch: samples per step.
        crop: side of a sample, in pixels.
        drawn: relative frequency of drawn scenes; that of the other sources likewise.
        roads: see `drawn`.
        trees: see `drawn`.
        buildings: see `drawn`.
        blank: share of samples whose imagery ends at a line, as scenes do at the edge of a flight or an orbit.
    """

    batch: int
    crop: int
    drawn: float = 1.0
    roads: float = 1.0
    trees: float = 0.5
    buildings: float = 1.0
    blank: float = 0.0


def load(ground: Ground) -> Seen:
    """Return a labelled image as models see it."""
    image, labels = ground.read_image(), ground.read_labels()
    scale = ground.metres / METRES
    height, width = (max(1, round(side * scale)) for side in labels.shape)
    return Seen(
        np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8),
        ground.source,
    )


class Sampler:
    """Takes batches of random crops; beyond an image's border it goes on, mirrored."""

    def __init__(self, images: Sequence[Seen], draw: Draw, seed: int) -> None:
        """Keep the images.

        Raises:
            ValueError: there is none.
        """
        if not images:
            raise ValueError("nothing to train on: neither labelled images nor drawn scenes")
        self._images, self._draw, self._seed = images, draw, seed
        self._shares = shares_of_sources([image.source for image in images], draw)

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        return Batch(*map(np.stack, draw_samples(self._sample, self._seed, step, self._draw.batch)))

    def _sample(self, rng: Generator) -> tuple[UInt8, UInt8]:
        chosen, crop = self._images[int(rng.choice(len(self._images), p=self._shares))], self._draw.crop
        height, width = chosen.labels.shape
        transform = augment.crop_transform(rng, (rng.uniform(0, width), rng.uniform(0, height)), crop)
        image = augment.relight_one(rng, augment.warp_image(chosen.image, transform, crop))
        labels = augment.warp_labels(chosen.labels, transform, crop)
        if rng.random() < self._draw.blank:
            blank = _beyond_a_line(rng, crop)
            image[blank], labels[blank] = int(rng.choice(_BLANKS)), BLANK
        return augment.degrade(rng, image), labels


def _beyond_a_line(rng: Generator, size: int) -> NDArray[np.bool_]:
    """Return what of a crop lies beyond a line through it, a tenth to a half of the way from its middle."""
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.5) * size
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.asarray(np.cos(angle) * x + np.sin(angle) * y > away)
