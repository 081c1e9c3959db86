"""Training samples: slices turned, bent and shown through other scanners, always the same of a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.ct.data import LabelledSlice
from export.training.sampling import draw_samples
from gateway.vision.windowing import Window, to_grid

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Slice:
    """A slice at the size of the labels: Hounsfield units int16 (S, S) and label map uint8 (S, S)."""

    units: NDArray[np.int16]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Draw:
    """How samples are made.

    Attributes:
        batch: samples per step.
        crop: side of a sample on the labels' grid, in pixels: 512 is a whole slice.
        turn: standard deviation of the rotation, in degrees, on top of quarter turns and flips.
        quarters: share of the samples that are also turned by any number of quarters; the rest keep the orientation of
            the data.
        smallest: least factor by which a slice is scaled; air surrounds what becomes smaller than its frame.
        largest: greatest factor.
        bend: standard deviation of the displacement, in pixels of the labels, at the knots of a 6x6 grid.
    """

    batch: int
    crop: int = 512
    turn: float = 10.0
    quarters: float = 1.0
    smallest: float = 0.75
    largest: float = 1.25
    bend: float = 8.0


@dataclass(frozen=True)
class Batch:
    """Samples of one step.

    Attributes:
        coarse: int16 (N, S / 2, S / 2), what the network is given; S is the crop's side.
        fine: int16 (N, S, S), the same slices at twice the size.
        labels: uint8 (N, S, S).
    """

    coarse: NDArray[np.int16]
    fine: NDArray[np.int16]
    labels: NDArray[np.uint8]


def load_slice(labelled: LabelledSlice, window: Window, size: int) -> Slice:
    """Return a slice at twice the `size` that the network is given."""
    shape = (2 * size, 2 * size)
    labels = cv2.resize(labelled.read_labels(), shape, interpolation=cv2.INTER_NEAREST)
    return Slice(to_grid(labelled.read_units(window), 2 * size), np.asarray(labels, np.uint8))


class Sampler:
    """Takes batches of randomly changed slices.

    Args:
        slices: to draw from, all of one size.
        window: what lies outside a slice is its low end.
        draw: how samples are made.
        seed: of every sample.
    """

    def __init__(self, slices: Sequence[Slice], window: Window, draw: Draw, seed: int) -> None:
        """Keep the slices.

        Raises:
            ValueError: there is none.
        """
        if not slices:
            raise ValueError("nothing to train on: no slice of the split train")
        self._slices, self._window, self._draw, self._seed = list(slices), window, draw, seed

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        fine, labels = map(np.stack, draw_samples(self._sample, self._seed, step, self._draw.batch))
        coarse = np.stack([to_grid(each, each.shape[0] // 2) for each in fine])
        return Batch(coarse, fine, labels)

    def _sample(self, rng: Generator) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        drawn = self._slices[int(rng.integers(len(self._slices)))]
        size = drawn.labels.shape[0]
        columns, rows = _places(rng, self._draw, size, min(size, self._draw.crop))
        units = cv2.remap(
            drawn.units.astype(np.float32),
            columns,
            rows,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=self._window.low,
        )
        labels = cv2.remap(drawn.labels, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return _rescanned(rng, np.asarray(units, np.float32), self._window), np.asarray(labels, np.uint8)


def _places(rng: Generator, draw: Draw, size: int, crop: int) -> tuple[Field, Field]:
    """Return the column and the row of the source of side `size` for each pixel of a sample, (crop, crop) each."""
    quarters = rng.integers(4) if rng.random() < draw.quarters else 0
    angle = quarters * math.pi / 2 + math.radians(rng.normal(0, draw.turn))
    scale = math.exp(rng.uniform(math.log(draw.smallest), math.log(draw.largest)))
    flip = rng.choice((-1.0, 1.0))
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    shift = rng.normal(0, 0.04 * size, 2) + rng.uniform(-0.5, 0.5, 2) * (size - crop)
    middle = (size - 1) / 2
    offsets = np.arange(crop, dtype=np.float32) - (crop - 1) / 2
    x, y = np.meshgrid(offsets, offsets)
    bent = (
        cv2.resize(rng.normal(0, draw.bend, (6, 6)).astype(np.float32), (crop, crop), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    )
    columns = cosine * flip * x - sine * y + middle + shift[0] + next(bent)
    rows = sine * flip * x + cosine * y + middle + shift[1] + next(bent)
    return columns.astype(np.float32), rows.astype(np.float32)


def _rescanned(rng: Generator, units: Field, window: Window) -> NDArray[np.int16]:
    """Return the slice as another scanner, dose or export to pictures would give it."""
    width = window.high - window.low
    shown = np.clip((units - window.low) / width, 0, 1)
    shown = shown ** math.exp(rng.normal(0, 0.12)) * math.exp(rng.normal(0, 0.08)) + rng.normal(0, 0.02)
    if rng.random() < 0.3:
        shown = cv2.GaussianBlur(shown, (0, 0), rng.uniform(0.5, 1.6))
    if rng.random() < 0.4:
        noise = rng.standard_normal(units.shape, dtype=np.float32) * rng.uniform(0.005, 0.04)
        # The grain of a reconstruction is a little wider than a pixel.
        shown = shown + cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 1.0))
    return np.asarray(np.rint(window.low + width * np.clip(shown, 0, 1)), np.int16)
