"""Models of waste on labelled photographs, asked by the gateway's pipeline, beside "background everywhere"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from tqdm import tqdm

from export.errors import EvaluationError
from export.evaluation.command import Report
from export.evaluation.engine import Bench
from export.evaluation.figures import report
from export.evaluation.opened import Opened
from export.tasks.waste.data import LabelledPhoto, read_photos
from export.tasks.waste.spec import LABEL_SETS
from export.training.metrics import Matrix, class_ious, confusion_of, mean_iou
from gateway.engines.base import Model, choose
from gateway.inference.segmenter import Segmenter
from gateway.repository.record import Figures
from gateway.tasks.waste.pipeline import map_waste


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of a model over the photographs of a split, next to those of "background everywhere".

    Raises:
        DataError: the folder is none that `read_photos` takes, or the split is empty.
        EvaluationError: the model knows other classes than the data.
    """
    photos = read_photos(data)
    with Bench(opened.served) as bench:
        model = choose(bench.engine, "waste", opened.models[0].name)
        names = tuple(spec.name for spec in model.card.classes)
        if names != tuple(spec.name for spec in LABEL_SETS[photos.label_set]):
            raise EvaluationError(f"{model.name} knows {', '.join(names)}, and no label set {photos.label_set!r}")
        asked = photos.of(split)
        counts = count(bench, model, tqdm(asked, unit="photo", leave=False))
    # "Background everywhere": whatever the truth holds was called that.
    baseline = np.zeros_like(counts)
    baseline[:, 0] = counts.sum(axis=1)
    figures = Figures(
        split=split,
        images=len(asked),
        metrics=metrics(counts, names),
        baseline_name="background everywhere",
        baseline=metrics(baseline, names),
        confusion=tuple(tuple(int(cell) for cell in row) for row in counts),
    )
    return Report({model.name: figures}, report(figures, names), seconds={model.name: median(bench.seconds)})


def count(bench: Bench, model: Model, photos: Iterable[LabelledPhoto]) -> Matrix:
    """Return the confusion matrix of a model over photographs, at the photographs' own sizes."""
    classes, segmenter = len(model.card.classes), Segmenter.of(bench.run, model)
    total = np.zeros((classes, classes), np.int64)
    for photo in photos:
        found = bench.answer(map_waste(segmenter, photo.read_image()))
        total += confusion_of(found.label_map, photo.read_labels(), classes)
    return total


def metrics(confusion: Matrix, names: Sequence[str]) -> dict[str, float]:
    """Return every figure by name; `miou` is mmsegmentation's, which has the background among the classes.

    Classes that neither truth nor prediction hold have none.
    """
    values = {
        "miou": mean_iou(confusion),
        "miou_without_background": mean_iou(confusion, background=False),
        "pixel_accuracy": float(confusion.trace() / max(1, confusion.sum())),
    }
    for value, (name, iou) in enumerate(zip(names, class_ious(confusion), strict=True)):
        if iou is not None:
            values[f"{name}_iou"] = iou
        if truth := int(confusion[value].sum()):
            values[f"{name}_accuracy"] = float(confusion[value, value] / truth)
    return values
