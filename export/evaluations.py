"""What `python -m export evaluate` does, per task."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.errors import EvaluationError
from export.tasks.building.graders import evaluate_buildings, grades_buildings
from export.tasks.ct.evaluate import evaluate_slices, shows_slices
from export.tasks.damage.data import read_pairs
from export.tasks.damage.figures import Measurement, measure, report
from export.tasks.damage.tiled import open_model
from export.tasks.interactive.evaluate import evaluate_clicks, takes_clicks
from export.tasks.radiograph.evaluate import evaluate_films, scores_films
from export.tasks.waste.evaluate import evaluate_photos, labels_photos


def evaluate(options: argparse.Namespace) -> str:
    """Return the figures of a model as text, and save them where the options of the command say so.

    Raises:
        ExportError: the model or the data cannot be read, or do not belong together.
    """
    model = options.model[0]
    if scores_films(model) and not options.plot:
        return evaluate_films(options.model, options.data, options.split, options.out)
    if len(options.model) > 1:
        raise EvaluationError("several models are measured together of radiographs alone")
    if takes_clicks(model):
        return evaluate_clicks(model, options.data, options.split, options.out, options.plot)
    if options.plot:
        raise EvaluationError("there is a plot of interactive models alone")
    if shows_slices(model):
        return evaluate_slices(model, options.data, options.split, options.out)
    if labels_photos(model):
        return evaluate_photos(model, options.data, options.split, options.out)
    if grades_buildings(model):
        return evaluate_buildings(model, options.data, options.split, options.out)
    return _evaluate_pairs(model, options)


def _evaluate_pairs(path: Path, options: argparse.Namespace) -> str:
    model = open_model(path)
    pairs = [pair for pair in read_pairs(options.data) if pair.split == options.split]
    if not pairs:
        raise EvaluationError(f"{options.data} has no pair in the split {options.split!r}")
    figures = measure(model.predict, pairs, options.split, len(model.classes))
    if options.out:
        measurement = Measurement(source_digest=model.source_digest, figures=(figures,))
        options.out.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return report(figures, model.classes)
