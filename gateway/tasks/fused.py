"""Fused damage: one model finds buildings before the disaster, another grades each of them after it.

To everything around it the two are one model of damage, whose card is put together from theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.errors import ModelUnsuitable
from gateway.repository.card import CropSpec, TensorSpec
from gateway.tasks.ahead import in_order
from gateway.tasks.segmentation import Pixels, Segmenter
from gateway.vision.buildings import Buildings, cut_crops, find_buildings

T = TypeVar("T")

FUSED = "fused"
"""What `?model=` names the composition."""

CROP_TASK = "damage-crop"

_PRE, _POST = "pre", "post"


@dataclass(frozen=True, eq=False)
class FusedModel(Model):
    """A finder and a grader as one model. Its version is the grader's, its digest is over both of theirs."""

    finder: Model
    grader: Model


@dataclass(frozen=True)
class FusedSegmenter(Segmenter):
    """The two models, run one after the other."""

    finder: Segmenter = field(kw_only=True)
    grader: Segmenter = field(kw_only=True)

    async def label_map(self, images: Mapping[str, Pixels]) -> Pixels:
        """Return the label map of a pair; see `Segmenter.label_map`. What is too small to be graded is background."""
        mask = await self.finder.label_map(images)
        buildings, scores = await self._graded(mask, images[_POST])
        return await self._aside(buildings.graded, scores)

    async def label_map_and_confidence(self, images: Mapping[str, Pixels]) -> tuple[Pixels, Pixels]:
        """Return the label map and how sure both models are of it, by `Segmenter.label_map_and_confidence`.

        Where there is a building that is the product of the finder's probability for the pixel and the grader's for
        the building, elsewhere the finder's probability of background.
        """
        mask, sureness = await self.finder.label_map_and_confidence(images)
        buildings, scores = await self._graded(mask, images[_POST])
        return await self._aside(_merged, buildings, scores, mask, sureness)

    async def infer(self, batch: Mapping[str, NDArray[Any]], role: str) -> Pixels:
        """Refuse: a building may be cut by the border of a tile, so that pairs are taken whole.

        Raises:
            ModelUnsuitable: always.
        """
        raise ModelUnsuitable(
            f"{FUSED} takes a pair whole, as PNG or JPEG; ask another model for scenes that are mapped in bands.",
            pointer="/model",
        )

    async def _graded(self, mask: Pixels, post: Pixels) -> tuple[Buildings, NDArray[np.float32]]:
        """Return the buildings of a mask, and the score of each per grade, float32 (n, grades)."""
        buildings = await self._aside(find_buildings, mask)
        scores = np.empty((len(buildings.boxes), len(self.grader.model.card.classes)), np.float32)

        async def keep(batch: tuple[slice, NDArray[Any]]) -> None:
            scores[batch[0]] = batch[1]

        await in_order((partial(self._grade, post, buildings, some) for some in self._batches(len(scores))), keep)
        return buildings, scores

    async def _grade(self, post: Pixels, buildings: Buildings, some: slice) -> tuple[slice, NDArray[Any]]:
        card = self.grader.model.card
        crops = await self._aside(cut_crops, post, buildings.boxes[some].tolist(), _crop(card.crop).grow, card.tile)
        return some, await self.grader.infer({card.inputs[0].name: crops}, "scores")

    def _batches(self, count: int) -> Iterator[slice]:
        most = self.grader.model.card.max_batch_size
        return (slice(first, min(first + most, count)) for first in range(0, count, most))

    async def _aside(self, function: Callable[..., T], *arguments: object) -> T:
        return await self.workers.run(self.timeline, "finish", function, *arguments)


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
        }
    )
    digests = hashlib.sha256(f"{finder.digest} {grader.digest}".encode()).hexdigest()
    return FusedModel(card, grader.version, f"sha256:{digests}", finder, grader)


def _crop(crop: CropSpec | None) -> CropSpec:
    if crop is None:
        raise ValueError("a model of crops says how they are cut")
    return crop


def _merged(buildings: Buildings, scores: NDArray[np.float32], mask: Pixels, sureness: Pixels) -> tuple[Pixels, Pixels]:
    labels = buildings.graded(scores)
    graded = buildings.filled(np.rint(255 * scores.max(axis=1, initial=0)).astype(np.uint8))
    inside = labels > 0
    # What is too small to be graded was found to be a building, and is called background all the same.
    merged = np.where((mask > 0) & ~inside, 255 - sureness, sureness)
    merged[inside] = (merged[inside].astype(np.uint16) * graded[inside] + 127) // 255
    return labels, merged
