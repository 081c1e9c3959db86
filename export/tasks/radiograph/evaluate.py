"""Models of radiographs on labelled radiographs, asked by the gateway's pipeline, alone and together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from export.errors import EvaluationError
from export.evaluation.command import Report
from export.evaluation.engine import Bench
from export.evaluation.opened import Opened
from export.tasks.radiograph.data import CLASSES, Grey, LabelledRadiograph, read_radiographs
from export.training.metrics import Binary
from gateway.inference.segmenter import Segmenter
from gateway.repository.record import Figures
from gateway.tasks.radiograph.pipeline import ENSEMBLE, Panel, choose_panel, score_film

Scores = NDArray[np.float64]


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of models over the radiographs of a split, with those of their mean score if they are several.

    Raises:
        DataError: the folder is none that `read_radiographs` takes.
        EvaluationError: the split lacks a class.
    """
    asked = [each for each in read_radiographs(data) if each.split == split]
    if missing := set(CLASSES) - {each.label for each in asked}:
        raise EvaluationError(f"{data} has no film of {' or '.join(sorted(missing))} in the split {split!r}")
    with Bench(opened.served) as bench:
        names = [model.name for model in opened.models]
        panel = choose_panel(bench.engine, names[0] if len(names) == 1 else ENSEMBLE)
        scores = scores_of(bench, panel, (each.read() for each in tqdm(asked, leave=False)))
        thresholds = {model.name: choose_panel(bench.engine, model.name).threshold for model in panel.models}
    thresholds[panel.name] = panel.threshold
    order = dict.fromkeys((*names, panel.name))
    figures = {name: figures_of(asked, scores[name], thresholds[name], split) for name in order}
    return Report(figures, table(figures), seconds={panel.name: median(bench.seconds)})


def scores_of(bench: Bench, panel: Panel, pictures: Iterable[Grey]) -> dict[str, Scores]:
    """Return P(COVID-19), (N,), of radiographs by each model of a panel, and by the panel as a whole."""
    segmenter_of = partial(Segmenter.of, bench.run)
    reports = [bench.answer(score_film(panel, segmenter_of, picture, None)) for picture in pictures]
    each = {
        model.name: np.array([report.opinions[place].verdict.scores[0] for report in reports])
        for place, model in enumerate(panel.models)
    }
    return {**each, panel.name: np.array([report.verdict.scores[0] for report in reports])}


def figures_of(films: Sequence[LabelledRadiograph], scores: Scores, threshold: float, split: str) -> Figures:
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


def _values(films: Sequence[LabelledRadiograph]) -> NDArray[np.int64]:
    return np.array([film.value for film in films if film.value is not None], np.int64)


def _all_metrics(films: Sequence[LabelledRadiograph], scores: Scores, threshold: float) -> dict[str, float]:
    judged = np.array([film.value is not None for film in films])
    found = metrics(scores[judged], _values(films), threshold)
    labels = np.array([film.label for film in films])
    for label in sorted(set(labels[~judged])):
        others = scores[labels == label]
        found |= {f"{label}_score": float(others.mean()), f"{label}_called": float((others >= threshold).mean())}
    return found


def counted(scores: NDArray[np.floating], values: NDArray[np.integer], threshold: float) -> Binary:
    """Return the counts of "COVID-19", in films.

    Args:
        scores: (N,) P(COVID-19).
        values: (N,) label values, 0 is COVID-19.
        threshold: the least score of a film that is called COVID-19.
    """
    called, true = scores >= threshold, values == 0
    cells = {(t, c): int(((true == t) & (called == c)).sum()) for t in (True, False) for c in (True, False)}
    return Binary(tp=cells[True, True], fp=cells[False, True], fn=cells[True, False], tn=cells[False, False])


def metrics(scores: NDArray[np.floating], values: NDArray[np.integer], threshold: float) -> dict[str, float]:
    """Return every figure by name; precision, recall, specificity and F1 are those of COVID-19.

    Args and shapes are those of `counted`; films of both classes are needed.
    """
    counts = counted(scores, values, threshold)
    return {
        "auc": float(roc_auc_score(values == 0, scores)),
        "accuracy": counts.accuracy,
        "precision": counts.precision,
        "recall": counts.recall,
        "specificity": counts.specificity,
        "f1": counts.f1,
    }
