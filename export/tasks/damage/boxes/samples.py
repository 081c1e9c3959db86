"""Training samples of networks that find buildings as boxes: crops of image pairs, with what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.damage.boxes.data import NumberedTile, Truth, boxes_of
from export.tasks.damage.data import UNCLASSIFIED
from export.tasks.damage.samples import Source
from export.training import augment
from export.training.sampling import draw_samples, shares

FILL = 114
"""What an image shows beyond its border, in YOLOX too: mirrored buildings would have no box."""


@dataclass(frozen=True)
class Batch:
    """Samples of one step: images (N, S, S, 3) RGB uint8, and of each what it shows."""

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    truths: tuple[Truth, ...]


@dataclass(frozen=True)
class Draw:
    """Where samples come from; see `export.tasks.damage.samples.Draw`."""

    crop: int
    batch: int
    anywhere: float = 0.35
    drawn: float = 0.15
    unchanged: float = 0.05
    shift: float = 1.0
    balance: float = 0.0


class Sampler:
    """Takes batches of random crops from photographs and drawn scenes."""

    def __init__(
        self,
        photographs: Sequence[NumberedTile],
        scenes: Sequence[NumberedTile],
        draw: Draw,
        seed: int,
        events: Sequence[str] | None = None,
    ) -> None:
        """Keep the tiles; without `events` all photographs are of one.

        Raises:
            ValueError: there is no tile at all.
        """
        known = events or [""] * len(photographs)
        weights = shares(known, draw.balance).tolist() if photographs else []
        both = ((photographs, weights), (scenes, [1.0] * len(scenes)))
        self._sources = [Source(tiles, each) for tiles, each in both if tiles]
        if not self._sources:
            raise ValueError("nothing to train on: neither photographs nor drawn scenes")
        self._draw, self._seed = draw, seed

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        pre, post, truths = draw_samples(self._sample, self._seed, step, self._draw.batch)
        return Batch(np.stack(pre), np.stack(post), truths)

    def _sample(self, rng: Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Truth]:
        draw, size = self._draw, self._draw.crop
        source = self._sources[-1 if rng.random() < draw.drawn else 0]
        tile, centre = source.anywhere(rng) if rng.random() < draw.anywhere else source.at_building(rng, size / 3)
        transform = augment.crop_transform(rng, _inwards(centre, tile.labels.shape, size), size)
        shifted = augment.shift(rng, transform, draw.shift)
        pre = augment.warp_image(tile.pre, transform, size, fill=FILL)
        post = augment.warp_image(tile.post, shifted, size, fill=FILL)
        truth = boxes_of(augment.warp_labels(tile.numbers, transform, size, fill=0), tile.values)
        if rng.random() < draw.unchanged:
            standing = np.where(truth.values == UNCLASSIFIED, truth.values, 1).astype(np.uint8)
            post, truth = pre, Truth(truth.boxes, standing)
        pre, post = augment.relight(rng, pre, post)
        return augment.degrade(rng, pre), augment.degrade(rng, post), truth


def _inwards(centre: tuple[float, float], shape: tuple[int, ...], size: int) -> tuple[float, float]:
    """Return the centre (x, y) moved so far that a crop of `size`, were it not turned, shows no border."""
    x, y = (
        min(max(place, size / 2), max(side - size / 2, size / 2))
        for place, side in zip(centre, shape[::-1], strict=True)
    )
    return x, y
