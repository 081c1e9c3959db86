"""Models of land cover on labelled images, asked by the gateway's pipeline, each source by what it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.figures import report
from export.evaluation.opened import Opened
from export.tasks.land.data import BUILDING, NOT, ROAD, TREE, Ground, drawn, read_grounds
from export.tasks.land.spec import LAND_CLASSES
from export.training.metrics import Binary, Matrix, class_ious, confusion_of, mean_iou
from gateway.engines.base import Model, choose
from gateway.inference.segmenter import Segmenter
from gateway.repository.record import Figures
from gateway.tasks.land.pipeline import map_land

_KNOWN = {"roads": ("road", ROAD), "trees": ("tree", TREE), "buildings": ("building", BUILDING)}
"""Source → name and value of the class that it is labelled for."""

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
    that the source is labelled for, where its labels say one of both.
    """
    segmenter, counts = Segmenter.of(bench.run, model), dict[str, Matrix]()
    for ground in grounds:
        found = bench.answer(map_land(segmenter, ground.read_image(), (ground.metres, ground.metres))).label_map
        truth = ground.read_labels()
        if ground.source in _KNOWN:
            value = _KNOWN[ground.source][1]
            judged = (truth == value) | (truth == NOT + value)
            truth, found = np.where(judged, truth == value, np.uint8(255)), (found == value).astype(np.uint8)
            matrix = confusion_of(found, truth, 2)
        else:
            matrix = confusion_of(found, truth, len(_NAMES))
        counts[ground.source] = counts.get(ground.source, np.zeros_like(matrix)) + matrix
    return counts


def trivial(source: str, confusion: Matrix) -> Matrix:
    """Return the matrix of one answer everywhere: the class that a source is labelled for, or else open ground."""
    found = np.zeros_like(confusion)
    found[:, 1 if source in _KNOWN else 0] = confusion.sum(axis=1)
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
        else:
            values["drawn_miou"] = mean_iou(matrix)
            values |= _of_classes(class_ious(matrix))
    return values


def _of_classes(ious: Sequence[float | None]) -> dict[str, float]:
    pairs = zip(_NAMES, ious, strict=True)
    return {f"drawn_{name.replace(' ', '_')}_iou": iou for name, iou in pairs if iou is not None}
