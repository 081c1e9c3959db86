"""Training samples of radiographs, always the same of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from imblearn.over_sampling import SMOTE
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.radiograph.changes import degrade, erase, jitter, letter, reframe, relight
from export.tasks.radiograph.data import CLASSES, Grey
from export.training.sampling import draw_samples, shares
from gateway.vision.radiographs import to_square

_OTHER = -1
"""Place of the films of no class of the paper, behind those of the classes."""


@dataclass(frozen=True)
class Film:
    """A picture, uint8 (H, W), the value of its label, None where it is no class of the paper, and its collection."""

    pixels: Grey
    value: int | None
    source: str = ""


@dataclass(frozen=True)
class Draw:
    """How samples are made.

    Attributes:
        batch: samples per step.
        changes: "jitter" is slight, "sources" hides where a film comes from; see `changes`.
        balanced: draw a class first, then one of its films.
        smote: add films between neighbours, see `with_smote`, until classes have equally many.
        balance: 0 draws the films of a class alike, 1 their collections; between them a collection's share is its
            number of films to the power of 1 − balance.
        others: share of samples that show something else, such as another pneumonia; see `Batch`.
    """

    batch: int
    changes: Literal["jitter", "sources"]
    balanced: bool = False
    smote: bool = False
    balance: float = 0.0
    others: float = 0.0


@dataclass(frozen=True)
class Batch:
    """Samples of one step: films uint8 (N, S, S), label values int64 (N,), −1 for films of no class of the paper."""

    films: Grey
    values: NDArray[np.int64]


def with_smote(films: Sequence[Film], size: int, seed: int) -> list[Film]:
    """Return the films and, of the rarer class, new ones on straight lines between neighbours (Chawla et al., 2002).

    Lines and distances are those of the pixels of films of (size, size), which the new ones are. Give it the films of
    the training split alone: a mixture with a film of another split would show that film in training.

    Raises:
        ValueError: there are too few films of a class: SMOTE looks for 5 neighbours of a film.
    """
    squares = np.stack([to_square(film.pixels, size) for film in films]).reshape(len(films), -1)
    values = np.array([film.value for film in films])
    balanced, labels = SMOTE(random_state=seed).fit_resample(squares.astype(np.float32), values)
    added = np.rint(balanced[len(films) :]).astype(np.uint8).reshape(-1, size, size)
    return [*films, *(Film(pixels, int(value)) for pixels, value in zip(added, labels[len(films) :], strict=True))]


class Sampler:
    """Takes batches of randomly changed films.

    Args:
        films: to draw from.
        size: side of a sample.
        draw: how samples are made.
        seed: of every sample.
    """

    def __init__(self, films: Sequence[Film], size: int, draw: Draw, seed: int) -> None:
        """Keep the films.

        Raises:
            ValueError: a class has none.
        """
        pools = [[film for film in films if film.value == value] for value in (*range(len(CLASSES)), None)]
        if not all(pools[:-1]):
            raise ValueError("nothing to train on: a class has no film in the split train")
        if draw.others and not pools[-1]:
            raise ValueError("nothing else to show: every film of the split train is of a class")
        self._films = pools
        self._shares = [shares([film.source for film in pool], draw.balance) for pool in pools if pool]
        self._size, self._draw, self._seed = size, draw, seed
        # Shown at little more than their size in a sample, films look averaged; in full, as if pixels were left out.
        self._coarse = [[_coarse(film, size) for film in of_class] for of_class in self._films]

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        films, values = draw_samples(self._sample, self._seed, step, self._draw.batch)
        return Batch(np.stack(films), np.array(values, np.int64))

    def _sample(self, rng: Generator) -> tuple[Grey, int]:
        other = self._draw.others > 0 and rng.random() < self._draw.others
        film = self._drawn(rng, _OTHER if other else self._class(rng))
        value = -1 if film.value is None else film.value
        if self._draw.changes == "jitter":
            return jitter(rng, film.pixels, self._size), value
        framed = reframe(rng, film.pixels, self._size)
        # The other film is of any class, or its grey levels would betray the class.
        lit = relight(rng, framed, self._drawn(rng, int(rng.integers(len(CLASSES)))).pixels)
        return erase(rng, degrade(rng, letter(rng, lit))), value

    def _class(self, rng: Generator) -> int:
        if self._draw.balanced:
            return int(rng.integers(len(CLASSES)))
        counts = np.array([len(films) for films in self._films[: len(CLASSES)]])
        return int(rng.choice(len(CLASSES), p=counts / counts.sum()))

    def _drawn(self, rng: Generator, value: int) -> Film:
        films = (self._films if rng.random() < 0.3 else self._coarse)[value]
        return films[int(rng.choice(len(films), p=self._shares[value]))]


def _coarse(film: Film, size: int) -> Film:
    """Return the film with its shorter side at 1.15 times `size`, averaged; a smaller one as it is."""
    height, width = film.pixels.shape
    factor = 1.15 * size / min(height, width)
    if factor >= 1:
        return film
    sides = (round(width * factor), round(height * factor))
    pixels = np.asarray(cv2.resize(film.pixels, sides, interpolation=cv2.INTER_AREA), np.uint8)
    return Film(pixels, film.value, film.source)
