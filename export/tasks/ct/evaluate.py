"""Models of CT on labelled slices, asked by the gateway's pipeline, beside the answer that there is no lesion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.figures import report
from export.evaluation.opened import Opened
from export.tasks.ct.data import LabelledSlice, read_slices
from export.tasks.ct.metrics import SliceCounts, metrics
from gateway.engines.base import Model, choose
from gateway.inference.segmenter import Segmenter
from gateway.media.medical.slices import HuSlice, SlicePlace
from gateway.repository.record import Figures
from gateway.tasks.ct.pipeline import find_lesions, window_of


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of a model over the slices of a split, next to those of "no lesion anywhere".

    Raises:
        DataError: the folder is none that `read_slices` takes.
        EvaluationError: the split is empty.
    """
    slices = of_split(read_slices(data), split, data, "slice")
    with Bench(opened.served) as bench:
        model = choose(bench.engine, "ct", opened.models[0].name)
        counts = count(bench, model, tqdm(slices, unit="slice", leave=False))
    names = [spec.name for spec in model.card.classes]
    baseline = SliceCounts(len(names))
    for each in slices:
        truth = each.read_labels()
        baseline.add(np.zeros_like(truth), truth)
    figures = Figures(
        split=split,
        images=len(slices),
        metrics=metrics(counts, names),
        baseline_name="no lesion anywhere",
        baseline=metrics(baseline, names),
        confusion=tuple(tuple(int(cell) for cell in row) for row in counts.confusion),
    )
    return Report({model.name: figures}, report(figures, names), seconds={model.name: median(bench.seconds)})


def count(bench: Bench, model: Model, slices: Iterable[LabelledSlice]) -> SliceCounts:
    """Return the counts of a model over slices, on the slices' own grids."""
    counts, segmenter = SliceCounts(len(model.card.classes)), Segmenter.of(bench.run, model)
    label_maps: list[NDArray[np.uint8]] = []

    def keep(_number: int, label_map: NDArray[np.uint8]) -> None:
        label_maps.append(label_map)

    for each in slices:
        bench.answer(find_lesions(segmenter, _OneSlice(each.read_units(window_of(model))), keep))
        counts.add(label_maps.pop(), each.read_labels())
    return counts


@dataclass(frozen=True)
class _OneSlice:
    """A slice, int16 (H, W) in Hounsfield units, as a volume; see `CtVolume`."""

    units: NDArray[np.int16]
    spacing: None = None
    notices: tuple[str, ...] = ()
    states_units: bool = True
    held_bytes: int = 0
    places: tuple[SlicePlace, ...] = (SlicePlace(None, None),)

    @property
    def shape(self) -> tuple[int, int, int]:
        rows, columns = self.units.shape
        return 1, rows, columns

    def slices(self) -> Iterator[HuSlice]:
        yield HuSlice(self.units, clipped=0)
