"""Models that grade buildings, at true footprints: each building counts once, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import EvaluationError
from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.figures import report
from export.evaluation.opened import Opened
from export.networks.cnn import GRADES
from export.tasks.damage.building.data import Town, read_town
from export.tasks.damage.data import read_pairs
from export.tasks.damage.metrics import CLASSES, harmonic_mean
from gateway.engines.base import Model, choose
from gateway.inference.segmenter import Segmenter
from gateway.repository.record import Figures
from gateway.tasks.damage.fused import grade_buildings
from gateway.tasks.damage.spec import CROP_TASK
from gateway.vision.buildings import cut_crops

NAMES = CLASSES[1:]
"""Of grades 0 to 3."""


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of a model over the judged buildings of the pairs of a split of an xBD folder.

    Raises:
        DataError: the folder cannot be read.
        EvaluationError: the split has no judged building.
    """
    towns = [read_town(pair) for pair in of_split(read_pairs(data), split, data, "pair")]
    with Bench(opened.served) as bench:
        model = choose(bench.engine, CROP_TASK, opened.models[0].name)
        figures = measure(bench, model, towns, split)
    return Report({model.name: figures}, report(figures, NAMES, "buildings"))


def measure(bench: Bench, model: Model, towns: Sequence[Town], split: str) -> Figures:
    """Return the figures of a grader over buildings, next to those of the commonest grade for all.

    Raises:
        EvaluationError: there is no building.
    """
    counts = confusion(bench, model, towns)
    if not counts.any():
        raise EvaluationError(f"no building is graded in the split {split!r}")
    common = NAMES[int(counts.sum(axis=1).argmax())]
    return Figures(
        split=split,
        images=len(towns),
        buildings=dict(zip(NAMES, counts.sum(axis=1).tolist(), strict=True)),
        metrics=metrics(counts),
        baseline_name=f"{common} for every building",
        baseline=metrics(best_constant(counts)),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def confusion(bench: Bench, model: Model, towns: Iterable[Town]) -> NDArray[np.int64]:
    """Return how many buildings of each grade (rows) were given each grade (columns), int64 (4, 4)."""
    counts, grader = np.zeros((GRADES, GRADES), np.int64), Segmenter.of(bench.run, model)
    for town in towns:
        boxes = np.array(town.boxes, np.float64).reshape(-1, 4)
        scores = bench.answer(grade_buildings(grader, boxes, partial(cut_crops, town.post)))
        np.add.at(counts, (np.array(town.grades, np.int64), scores.argmax(axis=1)), 1)
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
        **{f"{name}_f1": value for name, value in zip(CLASSES[1:], f1, strict=True)},
        "damage_f1_harmonic_mean": harmonic_mean(f1),
        "damage_f1_mean": sum(f1) / len(f1),
        "accuracy": float(hits.sum() / max(1, counts.sum())),
    }
