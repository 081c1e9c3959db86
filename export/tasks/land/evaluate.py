"""Models of land cover on labelled images, asked by the gateway's pipeline, each source by what it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.figures import report
from export.evaluation.opened import Opened
from export.tasks.land.data import BUILDING, ROAD, TREE, Ground, drawn, only, read_grounds
from export.tasks.land.spec import LAND_CLASSES
from export.training.metrics import Binary, Matrix, class_ious, confusion_of, mean_iou
from gateway.engines.base import Model, choose
from gateway.inference.segmenter import Segmenter
from gateway.repository.record import Figures
from gateway.tasks.land.pipeline import map_land

_KNOWN = {"roads": ("road", ROAD), "trees": ("tree", TREE), "buildings": ("building", BUILDING)}
"""Source → name and value of the class that it is labelled for."""

UNBUILT = "unbuilt"
"""In the place of a source: ground of which other sources say that nothing is built there."""

_NAMES = tuple(spec.name for spec in LAND_CLASSES)


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of a model over the images of a split, and over the drawn scenes of that split.

    Raises:
        DataError: the folder is none that `read_grounds` takes.
        EvaluationError: the split is empty.
    """
    asked = [*of_split(read_grounds(data), split, data, "image"), *(each for each in drawn(0) if each.split == split)]
    with Bench(opened.served) as bench:
        model = choose(bench.engine, "land", opened.models[0].name)
        counts = count(bench, model, tqdm(asked, unit="image", leave=False))
    sources = Counter(ground.source for ground in asked)
    figures = Figures(
        split=split,
        images=len(asked),
        metrics=metrics(counts),
        baseline_name=f"that class everywhere; of the {sources['drawn']} drawn scenes, open ground everywhere",
        baseline=metrics({source: trivial(source, matrix) for source, matrix in counts.items()}),
        confusion=tuple(map(tuple, counts["drawn"].tolist())),
    )
    said = ", ".join(f"{number} of {source}" for source, number in sources.items())
    return Report({model.name: figures}, f"{said}\n{report(figures, _NAMES)}")


def count(bench: Bench, model: Model, grounds: Iterable[Ground]) -> dict[str, Matrix]:
    """Return the confusion matrix of each source, [truth, prediction], at the images' own sizes.

    Of drawn scenes it has the five classes. Of the others it has two rows and columns: anything else, and the class
    that the source is labelled for, where its labels say one of both. Ground that is `UNBUILT` counts once
    more, as not of the class building.
    """
    segmenter, counts = Segmenter.of(bench.run, model), dict[str, Matrix]()

    def add(source: str, matrix: Matrix) -> None:
        counts[source] = counts.get(source, np.zeros_like(matrix)) + matrix

    for ground in grounds:
        found = bench.answer(map_land(segmenter, ground.read_image(), (ground.metres, ground.metres))).label_map
        labels = ground.read_labels()
        if ground.source not in _KNOWN:
            add(ground.source, confusion_of(found, np.log2(labels).astype(np.uint8), len(_NAMES)))
            continue
        value = _KNOWN[ground.source][1]
        add(ground.source, _of_one(found, labels, value))
        if value != BUILDING:
            add(UNBUILT, _of_one(found, labels, BUILDING))
    return counts


def _of_one(found: NDArray[np.uint8], labels: NDArray[np.uint8], value: int) -> Matrix:
    """Return the confusion matrix of a class and all others, where labels say one of both."""
    of_class, possible = labels == only(value), labels & only(value) > 0
    truth = np.where(of_class | ~possible, of_class, np.uint8(255)).astype(np.uint8)
    return confusion_of((found == value).astype(np.uint8), truth, 2)


def trivial(source: str, confusion: Matrix) -> Matrix:
    """Return the matrix of one answer everywhere: the class that a source is labelled for, or else open ground."""
    found = np.zeros_like(confusion)
    found[:, 0 if source == "drawn" else 1] = confusion.sum(axis=1)
    return found


def metrics(counts: Mapping[str, Matrix]) -> dict[str, float]:
    """Return every figure by name, those of drawn scenes with their source before them."""
    values: dict[str, float] = {}
    for source, matrix in counts.items():
        if source in _KNOWN:
            (tn, fp), (fn, tp) = matrix.tolist()
            binary, name = Binary(tp, fp, fn, tn), _KNOWN[source][0]
            values |= {
                f"{name}_iou": binary.iou,
                f"{name}_precision": binary.precision,
                f"{name}_recall": binary.recall,
            }
        elif source == UNBUILT:
            values["unbuilt_called_building"] = float(matrix[0, 1] / max(1, matrix[0].sum()))
        else:
            values["drawn_miou"] = mean_iou(matrix)
            values |= _of_classes(class_ious(matrix))
    return values


def _of_classes(ious: Sequence[float | None]) -> dict[str, float]:
    pairs = zip(_NAMES, ious, strict=True)
    return {f"drawn_{name.replace(' ', '_')}_iou": iou for name, iou in pairs if iou is not None}
