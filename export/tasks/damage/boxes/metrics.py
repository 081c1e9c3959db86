"""Average precision of boxes, as COCO has it, and which box was taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.tasks.damage.boxes.data import Truth
from export.tasks.damage.data import UNCLASSIFIED
from export.tasks.damage.metrics import CLASSES
from gateway.tasks.damage.boxes import Found

Floats = NDArray[np.float64]

LEAST_SHARED = 0.5
"""IoU from which a box is the building's."""

_RECALLS = np.linspace(0, 1, 101)
_GRADES = range(1, len(CLASSES))


def metrics(found: Sequence[Found], truths: Sequence[Truth]) -> dict[str, float]:
    """Return AP at an IoU of 0.5 per class, their mean over the classes that there are, and that of any building.

    A box is of its likeliest class. Un-classified buildings are no miss, and boxes of them no mistake.
    """
    of_class = {
        CLASSES[value]: average_precision([_of(each, value) for each in found], truths, value) for value in _GRADES
    }
    shown = [CLASSES[value] for value in _GRADES if any((truth.values == value).any() for truth in truths)]
    return {
        **{f"{name}_ap50": 0.0 if name not in shown else value for name, value in of_class.items()},
        "map50": float(np.mean([of_class[name] for name in shown])) if shown else 0.0,
        "building_ap50": average_precision(found, truths, None),
    }


def average_precision(found: Sequence[Found], truths: Sequence[Truth], value: int | None) -> float:
    """Return the area under the curve of precision over recall, at 101 points, each the best of those beyond it.

    Args:
        found: per image, the surest box first; a box is as sure as of its likeliest class.
        truths: per image.
        value: of the buildings that were to be found; None: all of them, un-classified ones too.
    """
    scores, hits, total = [], [], 0
    for each, truth in zip(found, truths, strict=True):
        wanted = truth.values > 0 if value is None else truth.values == value
        unjudged = truth.boxes[(truth.values == UNCLASSIFIED) & ~wanted]
        whose = matched(each.boxes, truth.boxes[wanted])
        counting = (whose >= 0) | (covered(each.boxes, unjudged).max(axis=1, initial=0) < LEAST_SHARED)
        scores.append(each.scores.max(axis=1, initial=0)[counting])
        hits.append((whose >= 0)[counting])
        total += int(wanted.sum())
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.cumsum(np.concatenate(hits)[order])
    if not total or not len(right):
        return 0.0
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(right / total, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].mean())


def matched(boxes: Floats | NDArray[np.float32], truths: Floats) -> NDArray[np.int64]:
    """Return which of (m, 4) true boxes each of (n, 4) is, the surest first, or -1; each is taken once."""
    shared, whose = overlaps(boxes, truths), np.full(len(boxes), -1)
    for index, row in enumerate(shared):
        if len(row) and row.max() >= LEAST_SHARED:
            whose[index] = row.argmax()
            shared[:, whose[index]] = 0
    return whose


def confusion(found: Sequence[Found], truths: Sequence[Truth]) -> NDArray[np.int64]:
    """Return how often a building of a class was taken for one of another, int64 (5, 5), truth down.

    The first row has boxes of nothing, the first column buildings without a box. Un-classified ones are left out.
    """
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for each, truth in zip(found, truths, strict=True):
        given = each.scores.argmax(axis=1) + 1 if len(each.scores) else np.zeros(0, np.int64)
        whose = matched(each.boxes, truth.boxes)
        rows = np.where(whose >= 0, truth.values[whose] if len(truth.values) else 0, 0)
        judged = rows != UNCLASSIFIED
        np.add.at(counts, (rows[judged], given[judged]), 1)
        missed = np.delete(truth.values, whose[whose >= 0])
        np.add.at(counts, (missed[missed != UNCLASSIFIED], 0), 1)
    return counts


def ungraded(found: Sequence[Found]) -> list[Found]:
    """Return the same boxes, each undamaged: what they would be worth if nothing were graded."""
    standing = [np.zeros_like(each.scores) for each in found]
    for scores, each in zip(standing, found, strict=True):
        scores[:, 0] = each.scores.max(axis=1, initial=0)
    return [Found(each.boxes, scores) for each, scores in zip(found, standing, strict=True)]


def overlaps(first: NDArray[np.float32] | Floats, second: Floats) -> Floats:
    """Return the IoU of each of (n, 4) boxes with each of (m, 4): (n, m)."""
    common, area, other = _common(first, second)
    return np.asarray(common / np.maximum(area[:, None] + other - common, 1e-9))


def covered(first: NDArray[np.float32] | Floats, second: Floats) -> Floats:
    """Return the share of each of (n, 4) boxes that each of (m, 4) covers: (n, m)."""
    common, area, _ = _common(first, second)
    return np.asarray(common / np.maximum(area[:, None], 1e-9))


def _common(first: NDArray[np.float32] | Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the areas that boxes have in common, (n, m), and their own, (n,) and (m,)."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    sides = np.minimum(one[:, None, 2:], other[:, 2:]) - np.maximum(one[:, None, :2], other[:, :2])
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return sides.clip(0).prod(axis=-1), areas[0], areas[1]


def _of(found: Found, value: int) -> Found:
    """Return the boxes whose likeliest class is that."""
    own = found.scores.argmax(axis=1) == value - 1 if len(found.scores) else np.zeros(0, bool)
    return Found(found.boxes[own], found.scores[own])
