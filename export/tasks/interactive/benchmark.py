"""The benchmark of interactive segmentation: how good a mask is after each click, and how many clicks it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from export.evaluation.engine import Bench
from export.tasks.interactive.data import VOID, LabelledObject
from export.tasks.interactive.methods import Attempt, Hand, Method, exact
from export.tasks.interactive.simulate import Click, next_click

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

MOST_CLICKS = 20
"""What an object counts that never reaches the wanted IoU, as in RITM."""

WANTED = (0.85, 0.90)
"""The IoUs that clicks are counted to."""

FURTHER = 5
"""How many clicks after the first ones the tables and the cards list."""

NOISE = 0.005
"""A click that lowers the IoU by more has made the mask worse."""

_BOUNDARY = 0.02
"""How deep a boundary is, as a share of the image's diagonal, in boundary IoU (Cheng et al., 2021)."""


@dataclass(frozen=True)
class Step:
    """One answer, judged without void pixels.

    Attributes:
        iou: intersection over union of the object.
        boundary: the same of what lies near the outlines alone.
        overall: share of the image's pixels that are right, OP of Csurka et al., 2013.
        per_class: mean of the share of the object's pixels and of the ground's that are right, their PC.
        seconds: until it was there.
        clicks: how many there were after the first ones.
        obeyed: how many of these the mask shows as clicked.
    """

    iou: float
    boundary: float = 0.0
    overall: float = 0.0
    per_class: float = 0.0
    seconds: float = 0.0
    clicks: int = 0
    obeyed: int = 0


@dataclass(frozen=True)
class Trace:
    """One object: the answer to the method's first clicks, then to each further one."""

    name: str
    first: int
    steps: tuple[Step, ...]

    @property
    def ious(self) -> tuple[float, ...]:
        """The IoU of each answer."""
        return tuple(step.iou for step in self.steps)

    def clicks_to(self, wanted: float) -> int:
        """Return how many clicks it took until the IoU was `wanted`, the first ones counted; 20 if it never was."""
        reached = (self.first + index for index, iou in enumerate(self.ious) if iou >= wanted)
        return next(reached, MOST_CLICKS)

    def at(self, further: int) -> Step:
        """Return the answer after so many further clicks, or the last one where there were fewer."""
        return self.steps[min(further, len(self.steps) - 1)]


def trace(
    bench: Bench, method: Method, labelled: LabelledObject, further: int, *, scale: int = 1, hand: Hand = exact
) -> Trace:
    """Return how `method` does on one object with up to `further` simulated clicks after its first ones.

    Five are made in any case; after that an object that has come to the highest wanted IoU is clicked no more.

    Args:
        bench: where it runs.
        method: the way to segment it.
        labelled: the object.
        further: how many clicks at most.
        scale: how many times as large the photograph is made, bicubically, and its mask with it.
        hand: draws the box.

    Raises:
        DataError: its files are no pictures.
    """
    image, labels = _enlarged(labelled.read_image(), labelled.read_labels(), scale)
    void = labels == VOID
    truth = (labels > 0) & ~void
    attempt = Attempt(bench, method, f"{labelled.name}×{scale}", image, truth, hand)
    clicks: list[Click] = []
    mask, seconds = _timed(lambda: attempt.mask(clicks))
    steps = [judge(mask, truth, void, clicks, seconds)]
    while method.refines and len(steps) <= further:
        if len(steps) > FURTHER and max(step.iou for step in steps) >= max(WANTED):
            break
        click = next_click(mask, truth, void)
        if click is None:
            steps.append(steps[-1])
            continue
        clicks.append(click)
        mask, seconds = _timed(lambda: attempt.mask(clicks))
        steps.append(judge(mask, truth, void, clicks, seconds))
    return Trace(labelled.name, method.first, tuple(steps))


def traces(
    bench: Bench,
    method: Method,
    objects: Iterable[LabelledObject],
    further: int,
    *,
    scale: int = 1,
    hand: Hand = exact,
) -> list[Trace]:
    """Return `trace` of every object."""
    return [trace(bench, method, labelled, further, scale=scale, hand=hand) for labelled in objects]


def judge(predicted: Mask, truth: Mask, void: Mask, clicks: Sequence[Click] = (), seconds: float = 0.0) -> Step:
    """Return how good a mask is; all masks bool (H, W), `void` what counts for nothing."""
    right, counted = (predicted == truth) & ~void, ~void
    shares = [right[part & counted].mean() for part in (truth, ~truth) if (part & counted).any()]
    return Step(
        iou=iou(predicted, truth, void),
        boundary=boundary_iou(predicted, truth, void),
        overall=float(right.sum() / max(1, counted.sum())),
        per_class=float(np.mean(shares)) if shares else 1.0,
        seconds=seconds,
        clicks=len(clicks),
        obeyed=sum(bool(predicted[click.y, click.x]) is click.positive for click in clicks),
    )


def iou(predicted: Mask, truth: Mask, void: Mask) -> float:
    """Return intersection over union without void pixels; 1 where both are empty."""
    overlap = (predicted & truth & ~void).sum()
    union = ((predicted | truth) & ~void).sum()
    return float(overlap / union) if union else 1.0


def boundary_iou(predicted: Mask, truth: Mask, void: Mask) -> float:
    """Return the IoU of the pixels that lie in each mask within 2 % of the image's diagonal from its edge.

    The image's border is an edge too, as in the reference of Cheng et al., 2021.
    """
    depth = max(1, round(_BOUNDARY * float(np.hypot(*truth.shape))))
    return iou(_rim(predicted, depth), _rim(truth, depth), void)


def mean_ious(results: Sequence[Trace]) -> list[float]:
    """Return the mean IoU over the objects after the first clicks, and after each further one.

    An object that was clicked no more counts with its last IoU.
    """
    longest = max(len(result.steps) for result in results)
    return [mean_at(results, index) for index in range(longest)]


def mean_at(results: Sequence[Trace], further: int, of: Callable[[Step], float] = lambda step: step.iou) -> float:
    """Return the mean of a figure over the objects after so many further clicks."""
    return float(np.mean([of(result.at(further)) for result in results]))


def mean_clicks(results: Sequence[Trace], wanted: float) -> float:
    """Return NoC: how many clicks an object takes until its IoU is `wanted`."""
    return float(np.mean([result.clicks_to(wanted) for result in results]))


def setbacks(results: Sequence[Trace]) -> list[float]:
    """Return by how much each of the first five further clicks changed the IoU for the worse; 0 where it did not."""
    changes = [np.diff(result.ious[: FURTHER + 1]) for result in results]
    return [max(0.0, -float(change)) for change in np.concatenate(changes)] if changes else []


def obeyed(results: Sequence[Trace]) -> tuple[int, int]:
    """Return how many of the first five further clicks the mask after them shows as clicked, and of how many."""
    after = [result.at(FURTHER) for result in results]
    return sum(step.obeyed for step in after), sum(step.clicks for step in after)


def seconds(results: Sequence[Trace]) -> tuple[float, float]:
    """Return the median time of the first answer, and that of an object with its first five further clicks."""
    first = median(result.steps[0].seconds for result in results)
    return first, median(sum(step.seconds for step in result.steps[: FURTHER + 1]) for result in results)


def _enlarged(image: Pixels, labels: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    if scale == 1:
        return image, labels
    size = (image.shape[1] * scale, image.shape[0] * scale)
    larger = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(larger, np.uint8), np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _rim(mask: Mask, depth: int) -> Mask:
    padded = np.pad(mask, 1).astype(np.uint8)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=depth)[1:-1, 1:-1]
    return np.asarray(mask & (core == 0))


def _timed(answer: Callable[[], Mask]) -> tuple[Mask, float]:
    start = time.perf_counter()
    mask = answer()
    return mask, time.perf_counter() - start
