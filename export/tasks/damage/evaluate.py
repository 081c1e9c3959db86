"""Damage models on labelled pairs, asked by the gateway's pipeline."""

from __future__ import annotations

from pathlib import Path

from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.figures import report
from export.evaluation.opened import Opened
from export.graphs.runners import Pixels
from export.tasks.damage.data import read_pairs
from export.tasks.damage.metrics import Predictor, measure
from gateway.engines.base import Model, choose
from gateway.tasks.damage.pipeline import map_damage, segmenter_of

TASK = "damage"


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of a model over the pairs of a split of an xBD folder.

    Raises:
        DataError: the folder cannot be read.
        EvaluationError: the split is empty.
    """
    pairs = of_split(read_pairs(data), split, data, "pair")
    with Bench(opened.served) as bench:
        model = choose(bench.engine, TASK, opened.models[0].name)
        figures = measure(predictor(bench, model), pairs, split, len(model.card.classes))
    return Report({model.name: figures}, report(figures, [spec.name for spec in model.card.classes]))


def predictor(bench: Bench, model: Model) -> Predictor:
    """Return a model of damage, or two fused, as a function from a pair to its label map."""

    def predict(pre: Pixels, post: Pixels) -> Pixels:
        return bench.answer(map_damage(segmenter_of(bench.run, model), pre, post)).label_map

    return predict
