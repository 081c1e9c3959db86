"""What `python -m export compare` does: every model of a task that stands side by side, and runs; it trains nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from export.errors import EvaluationError
from export.evaluation.command import Report
from export.evaluation.comparison import Comparison, Paper, Row, markdown, save_plot
from export.evaluation.opened import Opened, joined, of_file, of_stored
from export.registry import TASKS
from export.task import ExportTask
from gateway.errors import MaskgateError
from gateway.repository.card import Card
from gateway.repository.record import Figures
from gateway.repository.store import Repository, scan

_PAPER = "paper.json"


def add_command(commands: Any) -> None:
    """Add `compare` to the commands."""
    command = commands.add_parser("compare", help="put every model of a task side by side, beside the paper's figures")
    command.set_defaults(command=_command)
    command.add_argument("repository", type=Path, nargs="?", default=Path("model_repository"))
    command.add_argument("--task", choices=sorted(TASKS), default="damage", help="default: damage")
    command.add_argument("--data", type=Path, required=True, help="labelled data, as `evaluate` takes them")
    command.add_argument("--split", default="val")
    command.add_argument(
        "--run",
        type=Path,
        action="append",
        default=[],
        help="folder of a run, or a checkpoint, that is compared too, exported first; may be repeated",
    )
    command.add_argument("--out", type=Path, help="save the figures as JSON")
    command.add_argument("--table", type=Path, help="save the tables as Markdown")
    command.add_argument("--plot", type=Path, help="draw them as PNG or SVG")
    for task in TASKS.values():
        if task.comparison:
            task.module(task.comparison).add_options(command)


def _command(options: argparse.Namespace) -> int:
    task = TASKS[options.task]
    repository, runs = scan(options.repository), [_run(path) for path in options.run]
    try:
        if task.comparison:
            found: Comparison = task.module(task.comparison).compare(repository, runs, options)
        else:
            found = compare(task, repository, runs, options.data, options.split)
    except MaskgateError as error:
        raise EvaluationError(error.detail) from error
    found = found.model_copy(update={"paper": _paper(task)})
    text = markdown(found, task.view)
    if options.out:
        options.out.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if options.table:
        options.table.write_text(text + "\n", encoding="utf-8")
    if options.plot:
        save_plot(found, task.view, options.plot)
    print(text)
    return 0


Run = tuple[str, Opened]
"""Name of a run, which is its folder's, and its model."""


def _run(path: Path) -> Run:
    file = path / "model.pt" if path.is_dir() else path
    return file.resolve().parent.name, of_file(file, exported=True)


def compare(task: ExportTask, repository: Repository, runs: Sequence[Run], data: Path, split: str) -> Comparison:
    """Return the models of a task on the examples of a split.

    Args:
        task: theirs.
        repository: all its sound models of the task are asked.
        runs: asked too.
        data: a folder that the task's data module reads.
        split: part of it.

    Raises:
        DataError: the folder cannot be read.
        EvaluationError: there is no model of the task, or the split is empty.
    """
    stored = of_stored(task, repository)
    others = [(f"{opened.models[0].name} ({name})", opened) for name, opened in runs if opened.task is task]
    if not stored and not others:
        raise EvaluationError(f"there is no sound model of {task.subject}")
    rows: dict[str, Row] = {}
    reports: list[Report] = []
    together = [joined(stored)] if len(stored) > 1 and (task.pooled or task.jointly) else []
    # Where models are pooled, each evaluation asks all tools too, which takes long.
    alone = [] if task.pooled and together else [(each.models[0].name, each) for each in stored]
    for label, opened in (*alone, *(("", each) for each in together), *others):
        report: Report = task.module("evaluate").evaluate(opened, data, split)
        reports.append(report)
        cards = {model.name: model.card for model in opened.models}
        for name, figures in report.figures.items():
            rows.setdefault(label or name, _row(label or name, figures, report, name, cards.get(name), repository))
    for report in reports:
        for name, values in report.others.items():
            rows.setdefault(name, Row(name=name, metrics=dict(values), seconds=report.seconds.get(name)))
    first = next(iter(reports[0].figures.values()))
    if first.baseline_name not in rows and not reports[0].others:
        rows[first.baseline_name] = Row(name=first.baseline_name, metrics=first.baseline)
    return Comparison(
        task=task.name, split=split, images=first.images, counts=first.buildings, rows=tuple(rows.values())
    )


def _row(label: str, figures: Figures, report: Report, name: str, card: Card | None, repository: Repository) -> Row:
    """Return the row of a model, or of several as one, which has no card."""
    stored = repository.models.get(label)
    return Row(
        name=label,
        metrics={**figures.metrics, **_accuracy(figures)},
        seconds=report.seconds.get(name),
        size=stored.versions[stored.newest].stat().st_size if stored else 0,
        parameters=card.network.parameters if card else 0,
        training=card.training if card else None,
        confusion=figures.confusion,
    )


def _accuracy(figures: Figures) -> dict[str, float]:
    """Return the share of the counts that are right, where the task counts and does not say it itself."""
    total = sum(map(sum, figures.confusion))
    if not total or figures.metrics.keys() & {"accuracy", "pixel_accuracy"}:
        return {}
    return {"pixel_accuracy": sum(row[index] for index, row in enumerate(figures.confusion)) / total}


def _paper(task: ExportTask) -> Paper | None:
    """Return what the task's paper states, where the task has it."""
    file = files(task.package) / _PAPER
    return Paper.model_validate_json(file.read_bytes()) if file.is_file() else None
