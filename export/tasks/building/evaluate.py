"""Figures of a network that grades buildings, at true footprints: each building counts once, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from export.networks.cnn import GRADES
from export.tasks.building.data import Town
from export.training.metrics import CLASSES, harmonic_mean
from gateway.vision.buildings import cut_crops

Grader = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Takes crops (n, S, S, 3) RGB, returns scores (n, 4)."""

_AT_ONCE = 64


def confusion(grader: Grader, towns: Iterable[Town], grow: float, size: int) -> NDArray[np.int64]:
    """Return how many buildings of each grade (rows) were given each grade (columns), int64 (4, 4)."""
    counts = np.zeros((GRADES, GRADES), np.int64)
    for town in towns:
        for first in range(0, len(town.boxes), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            given = grader(cut_crops(town.post, town.boxes[some], grow, size)).argmax(axis=1)
            np.add.at(counts, (np.array(town.grades[some]), given), 1)
    return counts


def best_constant(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the confusion of whoever gives every building the commonest grade."""
    constant = np.zeros_like(counts)
    constant[:, counts.sum(axis=1).argmax()] = counts.sum(axis=1)
    return constant


def metrics(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return F1 per grade, their harmonic mean as xView2's, their plain mean, and accuracy, over buildings."""
    hits, truth, given = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    f1 = [float(2 * hit / both) if both else 0.0 for hit, both in zip(hits, truth + given, strict=True)]
    return {
        **{f"{name}_f1": value for name, value in zip(names(), f1, strict=True)},
        "damage_f1_harmonic_mean": harmonic_mean(f1),
        "damage_f1_mean": sum(f1) / len(f1),
        "accuracy": float(hits.sum() / max(1, counts.sum())),
    }


def names() -> Sequence[str]:
    """Return the names of grades 0 to 3."""
    return CLASSES[1:]
