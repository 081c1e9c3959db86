"""Counts of labelled slices, and the figures read off them: over all pixels of a set, and slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from export.training.metrics import Binary, Matrix, confusion_of, mean_iou


@dataclass
class SliceCounts:
    """Confusion matrices [truth, prediction] of pixels, one a slice, for `classes` label values."""

    classes: int
    slices: list[Matrix] = field(default_factory=list)

    def add(self, prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one slice: two label maps of one shape.

        Raises:
            ValueError: the shapes differ.
        """
        self.slices.append(confusion_of(prediction, truth, self.classes))

    @property
    def confusion(self) -> Matrix:
        """Return the matrix of all pixels."""
        return np.sum(self.slices, axis=0, dtype=np.int64) if self.slices else np.zeros(2 * (self.classes,), np.int64)


def metrics(counts: SliceCounts, names: Sequence[str]) -> dict[str, float]:
    """Return every figure by name.

    "infection" is any lesion: a pixel of one kind that is labelled as another kind counts as found. Classes get
    figures of their own where the truth holds them at all. Those that end in ``_per_slice`` are means over the slices
    that have what they ask for; the others count the pixels of all slices together.

    Args:
        counts: of the set.
        names: of the label values, the background first.
    """
    confusion = counts.confusion
    values = {
        "miou": mean_iou(confusion),
        "miou_without_background": mean_iou(confusion, background=False),
        "miou_per_slice": fmean(map(mean_iou, counts.slices)),
        **_figures("infection", range(1, counts.classes), counts),
    }
    for value, name in enumerate(names):
        if value and confusion[value].any():
            values |= _figures(name, (value,), counts)
    return values


def as_one(confusion: Matrix, positives: Collection[int]) -> Binary:
    """Return the counts of "one of these label values"."""
    chosen = np.isin(np.arange(len(confusion)), list(positives))
    cells = {
        (t, p): int(confusion[np.ix_(chosen == t, chosen == p)].sum()) for t in (True, False) for p in (True, False)
    }
    return Binary(tp=cells[True, True], fp=cells[False, True], fn=cells[True, False], tn=cells[False, False])


def dsc(counted: Binary) -> float:
    """Return the Dice coefficient; 1 where neither truth nor prediction hold anything."""
    return counted.f1 if counted.tp + counted.fp + counted.fn else 1.0


def _figures(name: str, positives: Collection[int], counts: SliceCounts) -> dict[str, float]:
    whole = as_one(counts.confusion, positives)
    each = [as_one(confusion, positives) for confusion in counts.slices]
    return {
        f"{name}_dsc": dsc(whole),
        f"{name}_iou": whole.iou,
        f"{name}_sensitivity": whole.recall,
        f"{name}_specificity": whole.specificity,
        f"{name}_dsc_per_slice": fmean(map(dsc, each)),
        f"{name}_sensitivity_per_slice": _mean(lambda one: one.recall, (one for one in each if one.tp + one.fn)),
        f"{name}_specificity_per_slice": _mean(lambda one: one.specificity, (one for one in each if one.tn + one.fp)),
    }


def _mean(figure: Callable[[Binary], float], counted: Iterable[Binary]) -> float:
    values = [figure(one) for one in counted]
    return fmean(values) if values else 0.0
