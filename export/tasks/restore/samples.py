"""Training samples of the removal of clouds: crops of images held in memory, under their own clouds or drawn ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.restore.clouds import KINDS, Clouded, cover_between, drawn_over
from export.tasks.restore.data import Ground
from export.training import augment
from export.training.sampling import draw_samples, shares_of_sources

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """An image without clouds, uint8 (H, W, 3) RGB, the same under clouds, or None where they are to be drawn."""

    clear: UInt8
    cloudy: UInt8 | None
    source: str


@dataclass(frozen=True)
class Batch:
    """Samples of one step: images (N, S, S, 3) RGB under clouds and without, and the cover (N, S, S), uint8."""

    cloudy: UInt8
    clear: UInt8
    cover: UInt8


@dataclass(frozen=True)
class Draw:
    """How samples are made.

    Attributes:
        batch: samples per step.
        crop: side of a sample, in pixels.
        thin: relative frequency of pairs with thin clouds; that of the other sources likewise.
        thick: see `thin`.
        drawn: see `thin`.
        uncovered: share of samples with drawn clouds that get none: ground without clouds is to stay as it is.
    """

    batch: int
    crop: int
    thin: float = 1.0
    thick: float = 1.5
    drawn: float = 1.5
    uncovered: float = 0.1


def load(ground: Ground) -> Seen:
    """Return an image of the ground, in memory."""
    cloudy = None if ground.source == "drawn" else ground.read_clouded().image
    return Seen(ground.read_clear(), cloudy, ground.source)


class Sampler:
    """Takes batches of random crops; beyond an image's border it goes on, mirrored."""

    def __init__(self, images: Sequence[Seen], draw: Draw, seed: int) -> None:
        """Keep the images.

        Raises:
            ValueError: there is none.
        """
        if not images:
            raise ValueError("nothing to train on: neither images nor drawn scenes")
        self._images, self._draw, self._seed = images, draw, seed
        self._shares = shares_of_sources([image.source for image in images], draw)

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        return Batch(*map(np.stack, draw_samples(self._sample, self._seed, step, self._draw.batch)))

    def _sample(self, rng: Generator) -> tuple[UInt8, UInt8, UInt8]:
        chosen, crop = self._images[int(rng.choice(len(self._images), p=self._shares))], self._draw.crop
        height, width = chosen.clear.shape[:2]
        transform = augment.crop_transform(rng, (rng.uniform(0, width), rng.uniform(0, height)), crop)
        clear = augment.warp_image(chosen.clear, transform, crop)
        if chosen.cloudy is not None:
            # As photographed: another light would not be that of this cloud.
            cloudy = augment.warp_image(chosen.cloudy, transform, crop)
            return cloudy, clear, cover_between(cloudy, clear)
        clear = augment.relight_one(rng, clear)
        if rng.random() < self._draw.uncovered:
            return clear, clear, np.zeros((crop, crop), np.uint8)
        clouded: Clouded = drawn_over(rng, clear, KINDS[int(rng.integers(len(KINDS)))])
        return clouded.image, clear, clouded.cover
