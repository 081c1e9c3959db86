"""Counts over all pixels of a set, and the figures read off them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]


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


def confusion_of(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> Matrix:
    """Return how many pixels have each pair of labels, (classes, classes), [truth, prediction].

    Args:
        prediction: label map (H, W) of values below `classes`.
        truth: the same; pixels of other values count nowhere.
        classes: label values.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction is {prediction.shape}, truth is {truth.shape}")
    judged = truth < classes
    cells = truth[judged].astype(np.int64) * classes + prediction[judged]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def class_ious(confusion: Matrix) -> list[float | None]:
    """Return the IoU of each class; None where neither truth nor prediction hold it."""
    overlap = confusion.diagonal()
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - overlap
    return [float(o / u) if u else None for o, u in zip(overlap, union, strict=True)]


def mean_iou(confusion: Matrix, *, background: bool = True) -> float:
    """Return the mean IoU of the classes that truth or prediction hold; 1 where there is none but the background."""
    ious = [iou for iou in class_ious(confusion)[0 if background else 1 :] if iou is not None]
    return fmean(ious) if ious else 1.0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
