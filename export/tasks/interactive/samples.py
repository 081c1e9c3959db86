"""Training samples: crops around an object with the clicks that a person would begin with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.interactive.compose import Photo, compose, stranger, turn
from export.tasks.interactive.data import VOID, LabelledObject
from export.tasks.interactive.simulate import likely_inside, loosened
from export.training.augment import degrade, relight
from export.training.sampling import draw_samples, shares
from gateway.vision.clicks import Box, Crop, as_points, box_of_mask, click_map, pushed_out

Pixels = NDArray[np.uint8]

_LONGEST_SIDE = 480
_JITTER = 1.5


@dataclass(frozen=True)
class Geometry:
    """What a crop looks like; lengths as in the card's `ClickSpec`."""

    size: int
    margin: int
    sigma: float
    push: float
    share: float = 0.0

    def around(self, box: Box) -> Box:
        """Return what a crop shows that is asked for by a box."""
        return box.framed(self.margin, self.share)


@dataclass(frozen=True)
class Draw:
    """Where samples come from.

    Attributes:
        batch: samples per step.
        composed: share of objects before another photograph's background.
        strange: share of objects that never were; see `compose.stranger`.
        loose: whether boxes are as people draw them, and not tight; see `simulate.loosened`.
        balance: 0 draws every object alike, 1 every collection; between them a collection's share is its number of
            objects to the power of 1 − balance.
    """

    batch: int
    composed: float = 0.4
    strange: float = 0.2
    loose: bool = False
    balance: float = 0.0


@dataclass(frozen=True)
class Batch:
    """Samples of one step, uint8.

    Attributes:
        crops: (N, S, S, 3), RGB.
        clicks: (N, S, S, M), the maps of the first clicks: inside and outside, or the extreme points alone.
        masks: (N, S, S), 1 where the object is.
    """

    crops: Pixels
    clicks: Pixels
    masks: Pixels


def load_photo(labelled: LabelledObject) -> Photo:
    """Return an object at training size: the longest side at most 480 pixels."""
    image, labels = labelled.read_image(), labelled.read_labels()
    scale = min(1.0, _LONGEST_SIDE / max(labels.shape))
    size = (round(labels.shape[1] * scale), round(labels.shape[0] * scale))
    shrunk = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return Photo(shrunk, (labels > 0) & (labels != VOID))


class Sampler:
    """Takes batches of random crops around objects.

    Args:
        photos: the objects.
        geometry: of the crops.
        prompt: "iog" or "dextr".
        draw: where samples come from.
        seed: of every sample.
        sources: the collection that each object is of; without them all are of one.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        geometry: Geometry,
        prompt: str,
        draw: Draw,
        seed: int,
        sources: Sequence[str] | None = None,
    ) -> None:
        """Keep the photographs.

        Raises:
            ValueError: there is none.
        """
        if not photos:
            raise ValueError("nothing to train on: no object of the split train")
        self._photos, self._geometry, self._prompt = list(photos), geometry, prompt
        self._draw, self._seed = draw, seed
        self._shares = shares(sources or [""] * len(photos), draw.balance)

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        return Batch(*map(np.stack, draw_samples(self._sample, self._seed, step, self._draw.batch)))

    def _sample(self, rng: Generator) -> tuple[Pixels, Pixels, Pixels]:
        photo = self._photos[int(rng.choice(len(self._photos), p=self._shares))]
        kind = rng.random()
        if kind < self._draw.composed:
            photo = compose(rng, photo, self._photos)
        elif kind < self._draw.composed + self._draw.strange:
            photo = stranger(rng, photo, self._photos)
        photo = turn(rng, photo, longest=_LONGEST_SIDE, reach=math.radians(25))
        box = box_of_mask(photo.mask)
        if box is None:  # pragma: no cover - `turn` and `compose` keep what they are given rather than lose the object
            raise ValueError("an object was lost")
        asked = loosened(rng, box, *photo.mask.shape) if self._draw.loose else box
        crop = Crop(self._geometry.around(asked), self._geometry.size)
        image = crop.cut(photo.image)
        image, _ = relight(rng, image, image)
        shares = crop.cut(photo.mask.astype(np.uint8) * 255)
        # An object of few pixels may fill no pixel of the crop by half.
        mask = shares >= min(128, shares.max())
        maps = self._extremes(rng, mask) if self._prompt == "dextr" else self._corners(rng, crop, asked, mask)
        if rng.random() < 0.15:
            image = image[..., rng.permutation(3)]
        image = degrade(rng, np.ascontiguousarray(image))
        # What lies outside the photograph is black when a model is served, however dark or noisy the photograph.
        image[crop.cut(np.ones(photo.mask.shape, np.uint8)) == 0] = 0
        return image, maps, mask.astype(np.uint8)

    def _corners(self, rng: Generator, crop: Crop, asked: Box, mask: NDArray[np.bool_]) -> Pixels:
        geometry = self._geometry
        tight = crop.to_crop(asked.corners())
        x0, y0, x1, y1 = np.concatenate([tight[0], tight[2]]) + rng.normal(0, _JITTER, 4)
        corners = pushed_out(as_points([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), geometry.push, geometry.size)
        inside = as_points([likely_inside(mask, rng)])
        return np.stack([click_map(points, geometry.size, geometry.sigma) for points in (inside, corners)], axis=-1)

    def _extremes(self, rng: Generator, mask: NDArray[np.bool_]) -> Pixels:
        geometry = self._geometry
        points = extreme_points(mask, rng) + rng.uniform(-2 * _JITTER, 2 * _JITTER, (4, 2))
        points = np.clip(points, 0, geometry.size - 1)
        return click_map(points, geometry.size, geometry.sigma)[..., None]


def extreme_points(mask: NDArray[np.bool_], rng: Generator) -> NDArray[np.float64]:
    """Return a leftmost, topmost, rightmost and bottommost pixel of a mask, (4, 2); drawn where there are several."""
    rows, columns = np.nonzero(mask)
    extremes = (columns == columns.min(), rows == rows.min(), columns == columns.max(), rows == rows.max())
    chosen = [int(rng.choice(np.flatnonzero(extreme))) for extreme in extremes]
    return as_points([(float(columns[i]), float(rows[i])) for i in chosen])
