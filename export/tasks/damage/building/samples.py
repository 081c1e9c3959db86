"""Training samples of networks that grade one building: crops of images held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.networks.cnn import GRADES
from export.tasks.damage.building.data import Box, Town
from export.training import augment
from export.training.sampling import draw_samples
from gateway.vision.buildings import cut_crop


@dataclass(frozen=True)
class Batch:
    """Samples of one step: crops (N, S, S, 3) RGB and grades (N,) 0 to 3, both uint8."""

    crops: NDArray[np.uint8]
    grades: NDArray[np.uint8]


@dataclass(frozen=True)
class Draw:
    """How samples are taken.

    Attributes:
        size: side of a crop in pixels.
        batch: samples per step.
        balanced: share of samples of an evenly drawn grade; the others are of any building.
        jitter: standard deviation of each edge of a box, as a share of its side: boxes that are found are not exact.
        grow: as of the entry in the catalogue.
    """

    size: int
    batch: int
    balanced: float = 1.0
    jitter: float = 0.08
    grow: float = 0.8


class Sampler:
    """Takes batches of crops from towns."""

    def __init__(self, towns: Sequence[Town], draw: Draw, seed: int) -> None:
        """Keep the towns and note where the buildings of each grade are.

        Raises:
            ValueError: there is no judged building.
        """
        self._draw, self._seed = draw, seed
        self._buildings = [
            (town.post, box, grade) for town in towns for box, grade in zip(town.boxes, town.grades, strict=True)
        ]
        of_grade = [[index for index, each in enumerate(self._buildings) if each[2] == g] for g in range(GRADES)]
        self._shown = [indices for indices in of_grade if indices]
        if not self._shown:
            raise ValueError("nothing to train on: no building is graded")

    def __len__(self) -> int:
        """Return how many buildings there are."""
        return len(self._buildings)

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        crops, grades = draw_samples(self._sample, self._seed, step, self._draw.batch)
        return Batch(np.stack(crops), np.array(grades, np.uint8))

    def _sample(self, rng: Generator) -> tuple[NDArray[np.uint8], int]:
        draw = self._draw
        if rng.random() < draw.balanced:
            index = int(rng.choice(self._shown[int(rng.integers(len(self._shown)))]))
        else:
            index = int(rng.integers(len(self._buildings)))
        image, box, grade = self._buildings[index]
        crop = cut_crop(image, _jittered(rng, box, draw.jitter), draw.grow, draw.size)
        crop = np.rot90(crop, int(rng.integers(4)))
        crop = np.ascontiguousarray(crop[:, :: rng.choice((-1, 1))])
        return augment.degrade(rng, augment.relight_one(rng, crop)), grade


def _jittered(rng: Generator, box: Box, jitter: float) -> Box:
    """Return a box whose edges are somewhat off; it keeps at least half of its sides."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    left, top, right, bottom = rng.normal(0, jitter, 4).clip(-0.25, 0.25) * (width, height, width, height)
    return x0 + left, y0 + top, x1 + right, y1 + bottom
