"""Models of radiographs on labelled films, as the gateway would ask them, alone and together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.graphs.runners import Runner, open_file, torch_runner
from export.graphs.wrap import graph_of
from export.networks import FILMS
from export.tasks.catalogue import entry_of
from export.tasks.damage.figures import Measurement
from export.tasks.radiograph.data import CLASSES, Grey, LabelledFilm, read_films
from export.tasks.radiograph.metrics import counted, metrics
from export.tasks.radiograph.run import THRESHOLD
from export.tasks.specs import FilmEntry
from gateway.repository.card import Figures, read_card
from gateway.repository.store import file_digest, scan
from gateway.vision.radiographs import to_tile

Scores = NDArray[np.float64]

ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class FilmModel:
    """A graph that scores films and what is needed to ask it; `source_digest` is that of its checkpoint."""

    name: str
    run: Runner
    size: int
    threshold: float
    source_digest: str

    def score(self, film: Grey) -> float:
        """Return P(COVID-19) of a film, uint8 (H, W)."""
        return float(self.run([to_tile(film, self.size)[None]])[0][0, 0])


def scores_films(path: Path) -> bool:
    """Return whether `path` is a checkpoint or a folder of a model of radiographs.

    Raises:
        CheckpointError: the file is no checkpoint.
        OSError: the folder's card cannot be read.
    """
    if path.is_file():
        return read_checkpoint(path).architecture in FILMS
    card = path / "card.json"
    return card.is_file() and read_card(card).task == "radiograph"


def evaluate_films(paths: Sequence[Path], data: Path, split: str, out: Path | None) -> str:
    """Return the table of models' figures, with those of their mean score where there are several.

    Args:
        paths: see `scores_films`.
        data: a folder that `read_films` takes.
        split: which of its films are asked.
        out: where a single model's figures are saved, for `build --figures`.

    Raises:
        EvaluationError: a model is none of radiographs, the split lacks a class, or figures of several models are to
            be saved.
    """
    if out is not None and len(paths) > 1:
        raise EvaluationError("figures are saved of one model; name it alone")
    films = [film for film in read_films(data) if film.split == split]
    if missing := set(CLASSES) - {film.label for film in films}:
        raise EvaluationError(f"{data} has no film of {' or '.join(sorted(missing))} in the split {split!r}")
    models = [_open_checkpoint(path) if path.is_file() else _open_folder(path.resolve()) for path in paths]
    pictures = [film.read() for film in films]
    scores = {
        model.name: np.array([model.score(picture) for picture in tqdm(pictures, desc=model.name, leave=False)])
        for model in models
    }
    thresholds = {model.name: model.threshold for model in models}
    if len(models) > 1:
        scores[ENSEMBLE] = np.mean(list(scores.values()), axis=0)
        thresholds[ENSEMBLE] = THRESHOLD
    figures = {name: figures_of(films, each, thresholds[name], split) for name, each in scores.items()}
    if out is not None:
        measurement = Measurement(source_digest=models[0].source_digest, figures=tuple(figures.values()))
        out.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return table(figures)


def figures_of(films: Sequence[LabelledFilm], scores: Scores, threshold: float, split: str) -> Figures:
    """Return the figures of scores (N,) of films, next to those of the commoner class, whatever the film shows.

    Films of other labels than the paper's classes count in none of the metrics but their own: the mean score, and the
    share that is called COVID-19.
    """
    labels = Counter(film.label for film in films)
    common = max(CLASSES, key=lambda name: labels[name])
    always = np.full(len(films), float(common == CLASSES[0]))
    judged = [index for index, film in enumerate(films) if film.value is not None]
    counts = counted(scores[judged], _values(films), threshold)
    return Figures(
        split=split,
        images=len(judged),
        buildings=dict(sorted(labels.items())),
        metrics=_all_metrics(films, scores, threshold),
        baseline_name=f"{common} always",
        baseline=_all_metrics(films, always, threshold),
        confusion=((counts.tp, counts.fn), (counts.fp, counts.tn)),
    )


def table(figures: Mapping[str, Figures]) -> str:
    """Return the figures of models as a table for people, one a line, and the baseline's at the end."""
    first = next(iter(figures.values()))
    side = max(len(name) for name in (*figures, first.baseline_name)) + 2
    names = list(first.metrics)
    films = ", ".join(f"{count} {label}" for label, count in first.buildings.items())
    widths = [max(len(name), 6) + 2 for name in names]
    head = "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    rows = {name: each.metrics for name, each in figures.items()} | {first.baseline_name: first.baseline}
    lines = [f"{first.split}: {films}", "", " " * side + head]
    for name, values in rows.items():
        cells = (f"{values[key]:{width}.4f}" for key, width in zip(names, widths, strict=True))
        lines.append(f"{name:{side}}" + "".join(cells))
    lines += ["", "films, truth down, answer across:"]
    for name, each in figures.items():
        lines += [f"{name:{side}}" + "".join(f"{label:>10}" for label in CLASSES)]
        lines += [
            f"{'  ' + label:{side}}" + "".join(f"{count:10}" for count in row)
            for label, row in zip(CLASSES, each.confusion, strict=True)
        ]
    return "\n".join(lines)


def _values(films: Sequence[LabelledFilm]) -> NDArray[np.int64]:
    return np.array([film.value for film in films if film.value is not None], np.int64)


def _all_metrics(films: Sequence[LabelledFilm], scores: Scores, threshold: float) -> dict[str, float]:
    judged = np.array([film.value is not None for film in films])
    found = metrics(scores[judged], _values(films), threshold)
    labels = np.array([film.label for film in films])
    for label in sorted(set(labels[~judged])):
        others = scores[labels == label]
        found |= {f"{label}_score": float(others.mean()), f"{label}_called": float((others >= threshold).mean())}
    return found


def _open_checkpoint(file: Path) -> FilmModel:
    checkpoint = read_checkpoint(file)
    entry = entry_of(checkpoint.architecture, FilmEntry)
    return FilmModel(
        name=entry.name,
        run=torch_runner(graph_of(checkpoint.network(), checkpoint, entry).module),
        size=checkpoint.size,
        threshold=THRESHOLD if checkpoint.threshold is None else checkpoint.threshold,
        source_digest=file_digest(file),
    )


def _open_folder(folder: Path) -> FilmModel:
    repository = scan(folder.parent)
    model = repository.models.get(folder.name)
    if model is None:
        reasons = [fault.reason for fault in repository.faults if fault.model == folder.name]
        raise EvaluationError(f"{folder.name} is not a sound model: {'; '.join(reasons)}")
    card = model.card
    if card.task != "radiograph":
        raise EvaluationError(f"{folder.name} scores no radiographs")
    outputs = [spec.name for spec in card.outputs]
    return FilmModel(
        name=card.name,
        run=open_file(model.versions[model.newest].read_bytes(), card.format, ["image"], outputs),
        size=card.tile,
        threshold=THRESHOLD if card.threshold is None else card.threshold,
        source_digest=card.source_digest,
    )
