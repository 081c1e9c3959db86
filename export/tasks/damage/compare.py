"""Every damage model of a repository side by side on the same pairs, the two that are fused among them.

Models that take terrain are also shown drawn scenes: the images alone, each raster beside them, and all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from maskgate_client.scenes import Terrain
from tqdm import tqdm

from export.errors import EvaluationError
from export.evaluation.command import of_split
from export.evaluation.comparison import Comparison, Row
from export.evaluation.engine import Bench, of_folder
from export.evaluation.opened import Opened
from export.graphs.runners import Pixels
from export.synthetic.towns import DrawnPair
from export.tasks.damage.building.data import read_town
from export.tasks.damage.building.evaluate import measure as measure_grader
from export.tasks.damage.data import LabelledPair, read_pairs
from export.tasks.damage.evaluate import TASK, predictor
from export.tasks.damage.metrics import CLASSES, DamageCounts, Predictor, best_constant, count, metrics
from gateway.engines.base import Model, choose
from gateway.repository.store import Repository
from gateway.tasks.damage.fused import fuse
from gateway.tasks.damage.pipeline import Rasters, map_damage, rasters_of, segmenter_of
from gateway.tasks.damage.spec import BOX_TASK, CROP_TASK

_PIXELS = 1024 * 1024
_BUILDINGS = "On true footprints, each building counting once:"
_MAPPING = (TASK, BOX_TASK)
"""What the cards of models say that map a pair by themselves."""

_FIRST_SCENE = 5000
"""No recipe learns from as many scenes as come before this one."""

_HEIGHTS = {"surface, before": "surface_before", "surface, after": "surface_after"}

SHOWN: Mapping[str, tuple[str, ...]] = {
    "images alone": (),
    "elevation": ("elevation",),
    "surface, before": ("surface, before",),
    "surface, after": ("surface, after",),
    "landcover": ("landcover",),
    "all, surface before": ("elevation", "surface, before", "landcover"),
    "all, surface after": ("elevation", "surface, after", "landcover"),
}
"""What a model is shown beside the images: in words → its rasters, of heights with when they were measured."""

FIGURES = (
    "localisation_f1",
    "no-damage_f1",
    "minor-damage_f1",
    "major-damage_f1",
    "destroyed_f1",
    "damage_f1_harmonic_mean",
    "xview2_score",
)
"""What is told of each."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options that name the two models of `fused`."""
    command.add_argument("--finder", default="bd-fcn", help="of damage: model that finds buildings in `fused` (bd-fcn)")
    command.add_argument("--grader", default="bd-cnn", help="of damage: model that grades them (bd-cnn)")
    command.add_argument(
        "--scenes",
        type=int,
        default=0,
        help="of damage: on so many drawn scenes models that take terrain are shown none of it, each raster, and all, "
        "other runs the images alone (0)",
    )


def compare(repository: Repository, runs: Sequence[tuple[str, Opened]], options: argparse.Namespace) -> Comparison:
    """Return the damage models of a repository and of runs on the pairs of a split.

    Graders of the repository are measured on the pairs' true footprints.

    Args:
        repository: its models of damage and of crops are asked.
        runs: name of each run, and its model.
        options: `data`, `split`, and the names of `finder` and `grader`.

    Raises:
        EvaluationError: there is no such model, or the split is empty.
        DataError: the folder of pairs cannot be read.
    """
    pairs = of_split(read_pairs(options.data), options.split, options.data, "pair")
    stored = [model for model in repository.models.values() if model.card.task in (*_MAPPING, CROP_TASK)]
    drawn, terrain = scenes(options.scenes), dict[str, dict[str, float]]()
    with Bench(map(of_folder, stored)) as bench:
        models = list(contestants(bench, repository, options.finder, options.grader))
        towns = [read_town(pair) for pair in pairs]
        graders = [choose(bench.engine, CROP_TASK, each.name) for each in stored if each.card.task == CROP_TASK]
        graded = {model.name: measure_grader(bench, model, towns, options.split) for model in graders}
        rows = [_measured(model.model.name, model, pairs) for model in models]
        for each in models:
            if drawn and rasters_of(each.model) and not each.model.parts:
                terrain |= _named(each.model.name, worth(bench, each.model, drawn))
    for name, opened in runs:
        if opened.models[0].card.task in _MAPPING:
            with Bench(opened.served) as bench:
                [model] = opened.models
                contestant = Contestant(model, predictor(bench, model), 0, model.card.network.parameters)
                rows.append(_measured(f"{model.name} ({name})", contestant, pairs))
                if drawn:
                    terrain |= _named(f"{model.name} ({name})", worth(bench, model, drawn))
    if not rows:
        raise EvaluationError("there is no sound model of damage")
    value, baseline = best_constant(pairs)
    constant = Row(name=f"{CLASSES[value]} everywhere", metrics=metrics(baseline, len(CLASSES)))
    buildings = {
        **{name: figures.metrics for name, figures in graded.items()},
        **{figures.baseline_name: figures.baseline for figures in graded.values()},
    }
    sections = {_BUILDINGS: buildings} if buildings else {}
    if terrain:
        sections[f"With and without terrain, on {len(drawn)} drawn scenes:"] = terrain
    return Comparison(
        task=TASK,
        split=options.split,
        images=len(pairs),
        rows=(*rows, constant),
        sections=sections,
    )


def _named(name: str, found: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {f"{name}, {words}": figures for words, figures in found.items()}


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


def _measured(name: str, contestant: Contestant, pairs: Sequence[LabelledPair]) -> Row:
    """Return the row of a model. Shows its progress."""
    timed = _Timed(contestant.predict)
    counts = count(timed, tqdm(pairs, desc=name, unit="pair", leave=False)).counts
    figures = metrics(counts, len(contestant.model.card.classes))
    if "pixel_accuracy" not in figures:
        # A model of two classes is right about a pixel where it is right about buildings.
        figures["pixel_accuracy"] = figures["localisation_accuracy"]
    return Row(
        name=name,
        metrics=figures,
        seconds=median(timed.seconds),
        size=contestant.size,
        parameters=contestant.parameters,
        training=None if len(contestant.model.parts) > 1 else contestant.model.card.training,
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


def scenes(count: int) -> list[DrawnPair]:
    """Return so many drawn scenes that nothing was learnt from."""
    return [DrawnPair(_FIRST_SCENE + index) for index in range(count)]


def worth(bench: Bench, model: Model, pairs: Sequence[DrawnPair]) -> dict[str, dict[str, float]]:
    """Return `FIGURES` of a model over scenes for each of `SHOWN`; of one without rasters of the images alone.

    Shows its progress.
    """
    taken = {raster.input for raster in rasters_of(model)}
    asked = {words: names for words, names in SHOWN.items() if {name.partition(",")[0] for name in names} <= taken}
    counts = {words: DamageCounts() for words in asked}
    segmenter = segmenter_of(bench.run, model)
    for pair in tqdm(pairs, desc=model.name, unit="scene", leave=False):
        pre, post, labels, terrain = pair.read_pre(), pair.read_post(), pair.read_labels(), pair.read_terrain()
        for words, names in asked.items():
            answer = bench.answer(map_damage(segmenter, pre, post, rasters=_rasters(terrain, names)))
            counts[words].add(answer.label_map, labels)
    classes = len(model.card.classes)
    found = {words: metrics(each, classes) for words, each in counts.items()}
    return {words: {name: figures[name] for name in FIGURES if name in figures} for words, figures in found.items()}


def _rasters(terrain: Terrain, names: Sequence[str]) -> Rasters:
    return {name.partition(",")[0]: getattr(terrain, _HEIGHTS.get(name, name)) for name in names}
