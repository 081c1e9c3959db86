"""Models of boxes on labelled pairs, asked by the gateway's own segmenter: each building counts once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.figures import report
from export.evaluation.opened import Opened
from export.tasks.damage.boxes.data import Truth, read_truth
from export.tasks.damage.boxes.metrics import confusion, metrics, ungraded
from export.tasks.damage.data import UNCLASSIFIED, LabelledPair, read_pairs
from export.tasks.damage.metrics import CLASSES
from gateway.engines.base import Model, choose
from gateway.repository.record import Figures
from gateway.tasks.damage.boxes import BoxSegmenter, Found
from gateway.tasks.damage.spec import BOX_TASK

LEAST = 0.01
"""Score from which on boxes count for average precision, as YOLOX is evaluated."""


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of a model over the buildings of the pairs of a split of an xBD folder.

    Raises:
        DataError: the folder cannot be read.
        EvaluationError: the split is empty.
    """
    pairs = of_split(read_pairs(data), split, data, "pair")
    truths = [read_truth(pair) for pair in pairs]
    with Bench(opened.served) as bench:
        model = choose(bench.engine, BOX_TASK, opened.models[0].name)
        figures = measure(find(bench, model, pairs), truths, split, model.card.threshold or LEAST)
    return Report({model.name: figures}, report(figures, CLASSES, "boxes that count"))


def find(bench: Bench, model: Model, pairs: Sequence[LabelledPair]) -> list[Found]:
    """Return the boxes of each pair, of scores from `LEAST` on."""
    segmenter = BoxSegmenter.of(bench.run, model)
    return [bench.answer(segmenter.find({"pre": pair.read_pre(), "post": pair.read_post()}, LEAST)) for pair in pairs]


def measure(found: Sequence[Found], truths: Sequence[Truth], split: str, threshold: float) -> Figures:
    """Return the figures of boxes, next to those of the same boxes without a grade.

    The confusion, precision and recall are of boxes that count: of scores from `threshold` on.
    """
    counting = [each.scores.max(axis=1, initial=0) >= threshold for each in found]
    boxes = [Found(each.boxes[some], each.scores[some]) for each, some in zip(found, counting, strict=True)]
    counts, plain = confusion(boxes, truths), confusion(ungraded(boxes), truths)
    kinds = {**dict(enumerate(CLASSES)), UNCLASSIFIED: "un-classified"}
    return Figures(
        split=split,
        images=len(truths),
        buildings={
            name: sum(int((truth.values == value).sum()) for truth in truths) for value, name in kinds.items() if value
        },
        metrics=metrics(found, truths) | rates(counts.tolist()),
        baseline_name="the same boxes, no damage each",
        baseline=metrics(ungraded(found), truths) | rates(plain.tolist()),
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
    )


def rates(counts: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return precision and recall of buildings, and the share of those found whose class is right, of a confusion."""
    found = sum(map(sum, (row[1:] for row in counts[1:])))
    given, there = found + sum(counts[0][1:]), found + sum(row[0] for row in counts[1:])
    right = sum(counts[value][value] for value in range(1, len(counts)))
    return {
        "building_precision": found / max(1, given),
        "building_recall": found / max(1, there),
        "grade_accuracy": right / max(1, found),
    }
