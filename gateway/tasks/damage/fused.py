"""Fused damage: one model finds buildings before the disaster, another grades each of them after it.

To everything around it the two are one model of damage, whose card is put together from theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.inference.segmenter import Images, Pixels, Run, Segmenter, in_order
from gateway.repository.card import ClassSpec, CropSpec, TensorSpec
from gateway.tasks.damage.boxes import MAPPERS
from gateway.vision.buildings import Buildings, cut_crops, find_buildings

Boxes = NDArray[np.int32]
Scores = NDArray[np.float32]
B = TypeVar("B", bound=NDArray[Any])

FUSED = "fused"
"""What `?model=` names the composition."""

_PRE, _POST = "pre", "post"


@dataclass(frozen=True, eq=False)
class FusedModel(Model):
    """A finder and a grader as one model. Its version is the grader's, its digest is over both of theirs."""

    finder: Model
    grader: Model

    @property
    def parts(self) -> tuple[Model, ...]:
        """The finder, then the grader."""
        return self.finder, self.grader


@dataclass(frozen=True, eq=False)
class GradingModel(Model):
    """A grader by itself, for buildings that are known; to all else its classes begin at 1, after background."""

    grader: Model


@dataclass(frozen=True)
class GradingSegmenter(Segmenter):
    """A grader by itself; it maps nothing."""

    grader: Segmenter = field(kw_only=True)

    @classmethod
    def of(cls, run: Run, model: Model) -> GradingSegmenter:
        """Return `model`, a `GradingModel`, on `run`."""
        if not isinstance(model, GradingModel):
            raise TypeError(f"{model.name} grades no buildings by itself")
        grader = Segmenter.of(run, model.grader)
        return GradingSegmenter(run.engine, run.workers, run.telemetry, run.timeline, model=model, grader=grader)


@dataclass(frozen=True)
class FusedSegmenter(Segmenter):
    """The two models, run one after the other."""

    finder: Segmenter = field(kw_only=True)
    grader: Segmenter = field(kw_only=True)

    @classmethod
    def of(cls, run: Run, model: Model) -> FusedSegmenter:
        """Return the two parts of `model` on `run`."""
        finder, grader = (MAPPERS.get(part.card.task, Segmenter).of(run, part) for part in model.parts)
        return FusedSegmenter(
            run.engine, run.workers, run.telemetry, run.timeline, model=model, finder=finder, grader=grader
        )

    async def label_map(self, images: Images) -> Pixels:
        """Return the label map of a pair; see `Segmenter.label_map`. What is too small to be graded is background."""
        mask = await self.finder.label_map(images)
        buildings, scores = await self._graded(mask, images[_POST])
        return await self.aside(buildings.graded, scores)

    async def label_map_and_confidence(self, images: Images) -> tuple[Pixels, Pixels]:
        """Return the label map and how sure both models are of it; see `Buildings.merged`."""
        mask, sureness = await self.finder.label_map_and_confidence(images)
        buildings, scores = await self._graded(mask, images[_POST])
        return await self.aside(buildings.merged, scores, mask, sureness)

    async def grade(self, boxes: Boxes, cut: Callable[[Boxes, float, int], Pixels]) -> Scores:
        """Return the score of each building per grade; see `grade_buildings`."""
        return await grade_buildings(self.grader, boxes, cut)

    async def _graded(self, mask: Pixels, post: Pixels) -> tuple[Buildings, Scores]:
        """Return the buildings of a mask, and the scores of each."""
        buildings = await self.aside(find_buildings, mask)
        return buildings, await self.grade(buildings.boxes, partial(cut_crops, post))


async def grade_buildings(grader: Segmenter, boxes: B, cut: Callable[[B, float, int], Pixels]) -> Scores:
    """Return the score of each building per grade, float32 (n, grades).

    Args:
        grader: a model of crops and its request.
        boxes: (n, 4), as `Box`.
        cut: returns crops, uint8 (n, size, size, 3), around some of the boxes, in a thread; the other arguments
            are those of `cut_crop`.

    Raises:
        MaskgateError: as `cut` and `Engine.infer`.
    """
    card = grader.model.card
    scores = np.empty((len(boxes), len(card.classes)), np.float32)
    grow = _crop(card.crop).grow

    async def graded(some: slice) -> tuple[slice, Scores]:
        run = grader.workers.run_to_end
        crops = await run(grader.timeline, "finish", cut, boxes[some], grow, card.tile)
        (answer,) = await grader.outputs({card.inputs[0].name: crops}, "scores")
        return some, answer

    async def keep(batch: tuple[slice, Scores]) -> None:
        scores[batch[0]] = batch[1]

    most = card.max_batch_size
    batches = (slice(first, first + most) for first in range(0, len(boxes), most))
    await in_order((partial(graded, some) for some in batches), keep)
    return scores


async def grade_twice(
    grader: Segmenter, boxes: Boxes, cut: Callable[[Boxes, float, int], Pixels]
) -> tuple[Scores, Scores]:
    """Return what `grade_buildings` does of crops and of what a mirror shows of them, on average.

    Returns:
        Means, and how far both are apart, float32 (n,), total variation distance.
    """

    def mirrored(some: Boxes, grow: float, size: int) -> Pixels:
        return np.ascontiguousarray(cut(some, grow, size)[:, :, ::-1])

    first, second = await grade_buildings(grader, boxes, cut), await grade_buildings(grader, boxes, mirrored)
    apart = np.abs(first - second).sum(axis=1) / 2
    return np.asarray((first + second) / 2, np.float32), np.asarray(apart, np.float32)


def fuse(finder: Model, grader: Model) -> FusedModel:
    """Return both as one model of damage: background, and then the grader's classes."""
    background = finder.card.classes[0]
    grades = [spec.model_copy(update={"value": spec.value + 1}) for spec in grader.card.classes]
    tile = finder.card.inputs[0]
    card = finder.card.model_copy(
        update={
            "name": FUSED,
            "title": f"{finder.card.title}, then {grader.card.title}",
            "classes": (background, *grades),
            "inputs": tuple(TensorSpec(name=role, dtype=tile.dtype, shape=tile.shape) for role in (_PRE, _POST)),
            "vote": None,
        }
    )
    digests = hashlib.sha256(f"{finder.digest} {grader.digest}".encode()).hexdigest()
    return FusedModel(card, grader.version, f"sha256:{digests}", finder, grader)


def grading_alone(grader: Model) -> GradingModel:
    """Return a grader as a model of damage of buildings that are known: background, and then its classes."""
    background = ClassSpec(value=0, name="background", colour=(0, 0, 0))
    grades = [spec.model_copy(update={"value": spec.value + 1}) for spec in grader.card.classes]
    crop = grader.card.inputs[0]
    card = grader.card.model_copy(
        update={
            "classes": (background, *grades),
            "inputs": (TensorSpec(name=_POST, dtype=crop.dtype, shape=crop.shape),),
        }
    )
    return GradingModel(card, grader.version, grader.digest, grader)


def _crop(crop: CropSpec | None) -> CropSpec:
    if crop is None:
        raise ValueError("a model of crops says how they are cut")
    return crop
