"""Evaluation of a predictor over labelled pairs, and the trivial answers that it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from export.tasks.damage.data import LabelledPair
from export.training.metrics import CLASSES, DamageCounts

LabelMap = NDArray[np.uint8]
Predictor = Callable[[NDArray[np.uint8], NDArray[np.uint8]], LabelMap]
"""Takes the images (H, W, 3) RGB before and after, returns the label map (H, W)."""


@dataclass(frozen=True)
class Evaluation:
    """Counts over a set: its pixels, how many images, and how many buildings of each class (labels 1 to 4, 255)."""

    counts: DamageCounts
    images: int
    buildings: dict[int, int]


def evaluate(predict: Predictor, pairs: Iterable[LabelledPair], unclassified_as: int | None = None) -> Evaluation:
    """Return the counts of a predictor over pairs, at the images' full resolution."""
    counts, images, buildings = DamageCounts(unclassified_as), 0, dict.fromkeys((1, 2, 3, 4, 255), 0)
    for pair in pairs:
        target = pair.read_labels()
        counts.add(predict(pair.read_pre(), pair.read_post()), target)
        images += 1
        for value in buildings:
            # Touching buildings of one class count as one: the label map does not tell them apart.
            buildings[value] += cv2.connectedComponents((target == value).astype(np.uint8), connectivity=4)[0] - 1
    return Evaluation(counts, images, buildings)


def best_constant(pairs: Iterable[LabelledPair], unclassified_as: int | None = None) -> tuple[int, DamageCounts]:
    """Return the label which scores best when given to every pixel, and its counts: the bar for any model.

    "Best" is by localisation F1 first, then by the mean damage F1: the harmonic mean of a constant is always near 0.
    """
    targets = [pair.read_labels() for pair in pairs]
    answers = []
    for value in range(len(CLASSES)):
        counts = DamageCounts(unclassified_as)
        for target in targets:
            counts.add(np.full_like(target, value), target)
        answers.append((value, counts))
    return max(answers, key=lambda answer: (answer[1].localisation.f1, sum(answer[1].damage_f1)))
