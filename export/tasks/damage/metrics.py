"""Counts of labelled pairs, and the figures read off them as xView2 scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.tasks.damage.data import UNCLASSIFIED, LabelledPair
from export.training.metrics import Binary
from gateway.repository.record import Figures

CLASSES = ("background", "no-damage", "minor-damage", "major-damage", "destroyed")
"""Names of label values 0 to 4."""

_UNCLASSIFIED_ROW = len(CLASSES)

LabelMap = NDArray[np.uint8]
Predictor = Callable[[NDArray[np.uint8], NDArray[np.uint8]], LabelMap]
"""Takes the images (H, W, 3) RGB before and after, returns the label map (H, W)."""


@dataclass
class DamageCounts:
    """A confusion matrix of label maps, summed over images.

    ``matrix[target, prediction]`` counts pixels; its last, sixth row holds buildings of unknown damage. They are
    buildings for localisation, and for damage are left out (``unclassified_as`` None) or count as that class (xView2's
    own scoring takes 1).
    """

    unclassified_as: int | None = None
    matrix: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(CLASSES) + 1, len(CLASSES)), np.int64))

    def add(self, prediction: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
        """Count one image: two label maps of one shape; values 0 to 4, in the target also 255.

        Raises:
            ValueError: the shapes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"prediction is {prediction.shape}, target is {target.shape}")
        rows = np.where(target == UNCLASSIFIED, _UNCLASSIFIED_ROW, target).astype(np.int64)
        cells = np.bincount((rows * len(CLASSES) + prediction).ravel(), minlength=self.matrix.size)
        self.matrix += cells.reshape(self.matrix.shape)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Return the 5x5 matrix [target, prediction] under the policy for un-classified buildings."""
        square = self.matrix[:_UNCLASSIFIED_ROW].copy()
        if self.unclassified_as is not None:
            square[self.unclassified_as] += self.matrix[_UNCLASSIFIED_ROW]
        return square

    @property
    def localisation(self) -> Binary:
        """Return the counts of "building", that is value > 0, over every pixel."""
        rows = self.matrix
        return Binary(
            tp=int(rows[1:, 1:].sum()), fp=int(rows[0, 1:].sum()), fn=int(rows[1:, 0].sum()), tn=int(rows[0, 0])
        )

    def damage(self, value: int) -> Binary:
        """Return the counts of one damage class (1 to 4) over the pixels of target buildings, as xView2 counts."""
        rows = self.confusion[1:]
        tp = int(rows[value - 1, value])
        fp = int(rows[:, value].sum()) - tp
        fn = int(rows[value - 1].sum()) - tp
        return Binary(tp, fp, fn, int(rows.sum()) - tp - fp - fn)

    @property
    def damage_f1(self) -> tuple[float, ...]:
        """Return F1 of classes 1 to 4."""
        return tuple(self.damage(value).f1 for value in range(1, len(CLASSES)))

    @property
    def damage_harmonic(self) -> float:
        """Return the harmonic mean of the four damage F1."""
        return harmonic_mean(self.damage_f1)

    @property
    def score(self) -> float:
        """Return the xView2 score."""
        return xview2_score(self.localisation.f1, self.damage_harmonic)


def harmonic_mean(values: Sequence[float]) -> float:
    """Return the harmonic mean with 1e-6 added to each value, as xView2 does: one 0 all but annuls it."""
    return len(values) / sum(1 / (value + 1e-6) for value in values)


def xview2_score(localisation_f1: float, damage_f1: float) -> float:
    """Return 0.3 localisation + 0.7 damage."""
    return 0.3 * localisation_f1 + 0.7 * damage_f1


@dataclass(frozen=True)
class Evaluation:
    """Counts over a set: its pixels, how many images, and how many buildings of each class (labels 1 to 4, 255)."""

    counts: DamageCounts
    images: int
    buildings: dict[int, int]


def count(predict: Predictor, pairs: Iterable[LabelledPair], unclassified_as: int | None = None) -> Evaluation:
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


def measure(predict: Predictor, pairs: Sequence[LabelledPair], split: str, classes: int) -> Figures:
    """Return the figures of a predictor over `pairs`, next to the best answer that is the same for every pixel.

    With two `classes` only the location of buildings is judged. Un-classified buildings count as buildings and are
    left out of damage. Shows its progress.
    """
    evaluation = count(predict, tqdm(pairs, unit="pair"))
    value, baseline = best_constant(pairs)
    kinds = {**dict(enumerate(CLASSES)), UNCLASSIFIED: "un-classified"}
    return Figures(
        split=split,
        images=evaluation.images,
        buildings={kinds[label]: count for label, count in evaluation.buildings.items()},
        metrics=metrics(evaluation.counts, classes),
        baseline_name=f"{CLASSES[value] if classes > 2 else 'building'} everywhere",
        baseline=metrics(baseline, classes),
        confusion=_confusion(evaluation.counts, classes),
    )


def metrics(counts: DamageCounts, classes: int) -> dict[str, float]:
    """Return every metric by name; those of damage where there are more than two classes."""
    located = counts.localisation
    values = {
        "localisation_f1": located.f1,
        "localisation_iou": located.iou,
        "localisation_precision": located.precision,
        "localisation_recall": located.recall,
        "localisation_accuracy": located.accuracy,
    }
    if classes == 2:
        return values
    for value, name in enumerate(CLASSES[1:], start=1):
        graded = counts.damage(value)
        values |= {
            f"{name}_f1": graded.f1,
            f"{name}_iou": graded.iou,
            f"{name}_precision": graded.precision,
            f"{name}_recall": graded.recall,
        }
    confusion = counts.confusion
    return values | {
        "damage_f1_harmonic_mean": counts.damage_harmonic,
        "xview2_score": counts.score,
        "pixel_accuracy": float(confusion.trace() / max(1, confusion.sum())),
    }


def _confusion(counts: DamageCounts, classes: int) -> tuple[tuple[int, ...], ...]:
    if classes == 2:
        located = counts.localisation
        return ((located.tn, located.fp), (located.fn, located.tp))
    return tuple(tuple(int(count) for count in row) for row in counts.confusion)
