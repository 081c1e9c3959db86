"""Training samples of land cover: crops of images held in memory at a metre a pixel.

Sample ``index`` of step ``step`` depends on nothing but the seed and these two numbers, so a resumed run continues
with exactly the samples it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.land.data import Ground
from export.training import augment
from gateway.tasks.land.pipeline import METRES

UInt8 = NDArray[np.uint8]


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
    """

    batch: int
    crop: int
    drawn: float = 1.0
    roads: float = 1.0
    trees: float = 0.5
    buildings: float = 1.0


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
        sources = [image.source for image in images]
        shares = np.array([getattr(draw, source) / sources.count(source) for source in sources], np.float64)
        self._images, self._shares, self._draw, self._seed = images, shares / shares.sum(), draw, seed

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        rngs = (np.random.default_rng((self._seed, step, index)) for index in range(self._draw.batch))
        images, labels = (np.stack(part) for part in zip(*map(self._sample, rngs), strict=True))
        return Batch(images, labels)

    def _sample(self, rng: Generator) -> tuple[UInt8, UInt8]:
        chosen, crop = self._images[int(rng.choice(len(self._images), p=self._shares))], self._draw.crop
        height, width = chosen.labels.shape
        transform = augment.crop_transform(rng, (rng.uniform(0, width), rng.uniform(0, height)), crop)
        image = augment.relight_one(rng, augment.warp_image(chosen.image, transform, crop))
        return augment.degrade(rng, image), augment.warp_labels(chosen.labels, transform, crop)
