"""The benchmark of interactive segmentation: IoU after each click, and how many clicks a wanted IoU takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.evaluation.engine import Bench
from export.tasks.interactive.data import VOID, LabelledObject
from export.tasks.interactive.methods import Attempt, Method
from export.tasks.interactive.simulate import Click, next_click

Mask = NDArray[np.bool_]

MOST_CLICKS = 20
"""What an object counts that never reaches the wanted IoU, as in RITM."""


@dataclass(frozen=True)
class Trace:
    """One object: its IoU after the method's first clicks, then after each further one."""

    name: str
    first: int
    ious: tuple[float, ...]

    def clicks_to(self, wanted: float) -> int:
        """Return how many clicks it took until the IoU was `wanted`, the first ones counted; 20 if it never was."""
        reached = (self.first + index for index, iou in enumerate(self.ious) if iou >= wanted)
        return next(reached, MOST_CLICKS)


def trace(bench: Bench, method: Method, labelled: LabelledObject, further: int) -> Trace:
    """Return how `method` does on one object with up to `further` simulated clicks after its first ones."""
    image, labels = labelled.read_image(), labelled.read_labels()
    void = labels == VOID
    truth = (labels > 0) & ~void
    attempt = Attempt(bench, method, labelled.name, image, truth)
    clicks: list[Click] = []
    mask = attempt.mask(clicks)
    ious = [iou(mask, truth, void)]
    while method.refines and len(ious) <= further:
        click = next_click(mask, truth, void)
        if click is None:
            ious.append(ious[-1])
            continue
        clicks.append(click)
        mask = attempt.mask(clicks)
        ious.append(iou(mask, truth, void))
    return Trace(labelled.name, method.first, tuple(ious))


def traces(bench: Bench, method: Method, objects: Iterable[LabelledObject], further: int) -> list[Trace]:
    """Return `trace` of every object."""
    return [trace(bench, method, labelled, further) for labelled in objects]


def mean_ious(results: Sequence[Trace]) -> list[float]:
    """Return the mean IoU over the objects after the first clicks, and after each further one."""
    return [float(mean) for mean in np.mean([result.ious for result in results], axis=0)]


def iou(predicted: Mask, truth: Mask, void: Mask) -> float:
    """Return intersection over union without void pixels; 1 where both are empty."""
    overlap = (predicted & truth & ~void).sum()
    union = ((predicted | truth) & ~void).sum()
    return float(overlap / union) if union else 1.0
