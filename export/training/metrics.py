"""Counts over all pixels of a set, and the figures computed from them (as xView2 scores)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.tasks.damage.data import UNCLASSIFIED

CLASSES = ("background", "no-damage", "minor-damage", "major-damage", "destroyed")
"""Names of label values 0 to 4."""

_UNCLASSIFIED_ROW = len(CLASSES)


@dataclass(frozen=True)
class Binary:
    """Counts of one yes-or-no question over pixels."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float:
        """Return TP / (TP + FP); 0 without a positive answer."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Return TP / (TP + FN); 0 without a positive target."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Return TN / (TN + FP); 0 without a negative target."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float:
        """Return 2 TP / (2 TP + FP + FN), which is also the Dice coefficient."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """Return TP / (TP + FP + FN)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """Return the share of right answers."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)


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


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
