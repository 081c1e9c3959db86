"""Every damage model of a repository side by side on the same pairs, the two that are fused among them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from export.errors import EvaluationError
from export.evaluation.command import of_split
from export.evaluation.engine import Bench, of_folder
from export.graphs.runners import Pixels
from export.tasks.damage.building.data import read_town
from export.tasks.damage.building.evaluate import measure as measure_grader
from export.tasks.damage.compare_report import Comparison, Row, markdown, save_plot
from export.tasks.damage.data import LabelledPair, read_pairs
from export.tasks.damage.evaluate import TASK, predictor
from export.tasks.damage.metrics import CLASSES, Predictor, best_constant, count, metrics
from gateway.engines.base import Model, choose
from gateway.repository.store import Repository, scan
from gateway.tasks.damage.fused import fuse
from gateway.tasks.damage.spec import BOX_TASK, CROP_TASK

_PIXELS = 1024 * 1024
_MAPPING = (TASK, BOX_TASK)
"""What the cards of models say that map a pair by themselves."""


def add_command(commands: Any) -> None:
    """Add `compare` to the commands."""
    command = commands.add_parser("compare", help="put every damage model of a repository side by side")
    command.set_defaults(command=_command)
    command.add_argument("repository", type=Path)
    command.add_argument("--data", type=Path, required=True, help="xBD folder")
    command.add_argument("--split", default="val")
    command.add_argument("--finder", default="bd-fcn", help="model that finds buildings in `fused` (bd-fcn)")
    command.add_argument("--grader", default="bd-cnn", help="model that grades them (bd-cnn)")
    command.add_argument("--out", type=Path, help="save the figures as JSON")
    command.add_argument("--plot", type=Path, help="draw them as PNG")


def _command(options: argparse.Namespace) -> int:
    comparison = compare(options.repository, options.data, options.split, options.finder, options.grader)
    if options.out:
        options.out.write_text(comparison.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if options.plot:
        save_plot(comparison, options.plot)
    print(markdown(comparison))
    return 0


def compare(root: Path, data: Path, split: str, finder: str = "bd-fcn", grader: str = "bd-cnn") -> Comparison:
    """Return the damage models of a repository on the pairs of a split, and its graders on their true footprints.

    Raises:
        EvaluationError: there is no such model, or the split is empty.
        DataError: the folder of pairs cannot be read.
    """
    pairs = of_split(read_pairs(data), split, data, "pair")
    repository = scan(root)
    stored = [model for model in repository.models.values() if model.card.task in (*_MAPPING, CROP_TASK)]
    with Bench(map(of_folder, stored)) as bench:
        models = list(contestants(bench, repository, finder, grader))
        if not models:
            raise EvaluationError(f"{root} has no sound model of damage")
        towns = [read_town(pair) for pair in pairs]
        graders = [choose(bench.engine, CROP_TASK, each.name) for each in stored if each.card.task == CROP_TASK]
        graded = {model.name: measure_grader(bench, model, towns, split) for model in graders}
        rows = [_measured(model, pairs) for model in models]
    value, baseline = best_constant(pairs)
    constant = Row(name=f"{CLASSES[value]} everywhere", metrics=metrics(baseline, len(CLASSES)))
    return Comparison(
        split=split,
        pairs=len(pairs),
        rows=(*rows, constant),
        buildings={
            **{name: figures.metrics for name, figures in graded.items()},
            **{figures.baseline_name: figures.baseline for figures in graded.values()},
        },
    )


@dataclass(frozen=True)
class Contestant:
    """A model, or several as one, and what it costs: the bytes of its files, and its parameters."""

    model: Model
    predict: Predictor
    size: int
    parameters: int


def contestants(bench: Bench, repository: Repository, finder: str, grader: str) -> Iterator[Contestant]:
    """Yield the damage models of a repository by name, and then `fused`, where both its parts are there."""
    tasks = {name: model.card.task for name, model in sorted(repository.models.items())}
    mapping = {name: choose(bench.engine, task, name) for name, task in tasks.items() if task in _MAPPING}
    models = list(mapping.values())
    if finder in mapping and grader in repository.models:
        models.append(fuse(mapping[finder], choose(bench.engine, CROP_TASK, grader)))
    for model in models:
        parts = [repository.models[part.name] for part in model.parts or (model,)]
        size = sum(part.versions[part.newest].stat().st_size for part in parts)
        parameters = sum(part.card.network.parameters for part in parts)
        yield Contestant(model, predictor(bench, model), size, parameters)


def _measured(contestant: Contestant, pairs: Sequence[LabelledPair]) -> Row:
    """Return the row of a model. Shows its progress."""
    name, timed = contestant.model.name, _Timed(contestant.predict)
    counts = count(timed, tqdm(pairs, desc=name, unit="pair", leave=False)).counts
    return Row(
        name=name,
        metrics=metrics(counts, len(contestant.model.card.classes)),
        seconds=median(timed.seconds),
        size=contestant.size,
        parameters=contestant.parameters,
    )


class _Timed:
    """A predictor that keeps how long it took for each pair, after one that nobody counts."""

    def __init__(self, predict: Predictor) -> None:
        self._predict = predict
        self._warm = False
        self.seconds: list[float] = []

    def __call__(self, pre: Pixels, post: Pixels) -> Pixels:
        if not self._warm:
            self._predict(pre, post)
            self._warm = True
        start = time.perf_counter()
        labels = self._predict(pre, post)
        self.seconds.append((time.perf_counter() - start) * _PIXELS / labels.size)
        return labels
