"""What `python -m export evaluate` does: the pipeline of a task over labelled data, counted and saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from export.errors import EvaluationError
from export.evaluation.figures import Measurement
from export.evaluation.opened import open_models
from export.registry import TASKS
from gateway.errors import MaskgateError
from gateway.repository.record import Figures


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        figures: model → its figures, in the order of the table.
        text: the table, for people.
        plot: writes a picture, where the task has one.
        seconds: model, or tool → median time of an answer.
        others: tool without a model → its figures on the same examples.
    """

    figures: Mapping[str, Figures]
    text: str
    plot: Callable[[Path], None] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def evaluate(paths: Sequence[Path], data: Path, split: str, out: Path | None = None, plot: Path | None = None) -> str:
    """Return the figures of models as text.

    Args:
        paths: see `open_models`.
        data: a folder that the task's data module reads.
        split: which part of it is asked.
        out: where a single model's figures are saved, for `build --figures`.
        plot: where a picture is saved.

    Raises:
        ExportError: the models or the data cannot be read, or do not belong together.
    """
    alone = EvaluationError("figures are saved of one model; name its folder alone")
    if out is not None and len(paths) > 1:
        raise alone
    opened = open_models(paths)
    if out is not None and len(opened.models) > 1:
        raise alone
    if plot is not None and not opened.task.pooled:
        drawn = " or ".join(task.name for task in TASKS.values() if task.pooled)
        raise EvaluationError(f"there is a plot of {drawn} models alone")
    try:
        report: Report = opened.task.module("evaluate").evaluate(opened, data, split)
    except MaskgateError as error:
        raise EvaluationError(error.detail) from error
    if out is not None:
        [model] = opened.models
        measurement = Measurement(source_digest=model.card.source_digest, figures=(report.figures[model.name],))
        out.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if plot is not None and report.plot is not None:
        report.plot(plot)
    return report.text


class InSplit(Protocol):
    """A labelled example."""

    @property
    def split(self) -> str:
        """Part of the data that it is of."""


E = TypeVar("E", bound=InSplit)


def of_split(examples: Sequence[E], split: str, data: Path, what: str) -> list[E]:
    """Return the examples of a split.

    Raises:
        EvaluationError: there are none.
    """
    if found := [example for example in examples if example.split == split]:
        return found
    raise EvaluationError(f"{data} has no {what} in the split {split!r}")
