"""What `python -m export compare` does."""

from __future__ import annotations

import argparse

from export.errors import EvaluationError
from export.tasks.building.data import read_town
from export.tasks.building.graders import measure, opened
from export.tasks.damage.comparison.measure import Comparison, measured
from export.tasks.damage.comparison.models import contestants
from export.tasks.damage.comparison.report import markdown, save_plot
from export.tasks.damage.data import read_pairs
from gateway.repository.store import scan


def compare(options: argparse.Namespace) -> str:
    """Return the damage models of a repository as a table, and save it where the options of the command say so.

    Raises:
        ExportError: there is no such model, or the split is empty.
        DataError: the folder of pairs cannot be read.
    """
    pairs = [pair for pair in read_pairs(options.data) if pair.split == options.split]
    if not pairs:
        raise EvaluationError(f"{options.data} has no pair in the split {options.split!r}")
    repository = scan(options.repository)
    models = list(contestants(repository, options.finder, options.grader))
    if not models:
        raise EvaluationError(f"{options.repository} has no sound model of damage")
    towns = [read_town(pair) for pair in pairs]
    graders = [model for model in repository.models.values() if model.card.task == "damage-crop"]
    graded = {model.name: measure(opened(model), towns, options.split) for model in graders}
    comparison = Comparison(
        split=options.split,
        pairs=len(pairs),
        rows=tuple(measured(models, pairs)),
        buildings={
            **{name: figures.metrics for name, figures in graded.items()},
            **{figures.baseline_name: figures.baseline for figures in graded.values()},
        },
    )
    if options.out:
        options.out.write_text(comparison.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if options.plot:
        save_plot(comparison, options.plot)
    return markdown(comparison)
