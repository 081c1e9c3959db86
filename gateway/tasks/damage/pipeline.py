"""Building damage: a pre- and a post-disaster image in, a label map and its buildings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.errors import PairMismatch
from gateway.inference.segmenter import Run, Segmenter
from gateway.repository.card import RasterSpec, VoteSpec
from gateway.tasks.damage.boxes import MAPPERS
from gateway.tasks.damage.fused import FusedModel, FusedSegmenter, GradingModel, GradingSegmenter
from gateway.vision.buildings import SMALLEST_BUILDING
from gateway.vision.labels import class_counts
from gateway.vision.regions import Known, Region, regions
from gateway.vision.votes import voted

Pixels = NDArray[np.uint8]
Size = tuple[int, int]

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

T = TypeVar("T")

BETWEEN = "between_"
"""What the names of a model's inputs begin with for images of the dates between; after it 1, 2 and so on."""

Rasters = Mapping[str, NDArray[Any]]
"""By name, (H, W) on the grid of the image before the disaster: heights as float32, classes as uint8."""

_NONE: Rasters = MappingProxyType({})


@dataclass(frozen=True)
class DamageMap:
    """What the model saw in one pair.

    Attributes:
        label_map: uint8 (H, W) on the pre image's grid, class values of `model.card`; background where nothing was
            observed.
        post: uint8 (H, W, 3), RGB, the post image on the pre grid.
        hidden: pixels where nothing was observed.
    """

    model: Model
    label_map: Pixels
    post: Pixels
    hidden: int = 0

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Observed pixels per class value; worth a thread at first."""
        background, *others = class_counts(self.label_map, len(self.model.card.classes)).tolist()
        return (background - self.hidden, *others)


@dataclass(frozen=True)
class DamageReport:
    """A damage map with its buildings, one region each, in reading order."""

    map: DamageMap
    buildings: tuple[Region, ...]


def segmenter_of(run: Run, model: Model) -> Segmenter:
    """Return a model of the task, the two of a composition, or a grader by itself, on `run`."""
    kinds: dict[type[Model], type[Segmenter]] = {FusedModel: FusedSegmenter, GradingModel: GradingSegmenter}
    return (kinds.get(type(model)) or MAPPERS.get(model.card.task, Segmenter)).of(run, model)


def check_pair(model: Model, pre: Size, post: Size, name: str = "post") -> tuple[str, ...]:
    """Return what the caller should know of how `model` will take a pair, from its (width, height)s alone.

    `name` is the second image's.

    Raises:
        PairMismatch: the two cannot show one frame.
    """
    try:
        resized = check_sizes(pre, post, name)
    except SizesDoNotPair as mismatch:
        raise PairMismatch(
            f"The images do not show the same frame: {mismatch}. Sizes may differ, aspect ratios may not.",
            pointer=f"/{name}",
        ) from mismatch
    pre_only = "post" not in {spec.name for spec in model.card.inputs}
    unread = f"{model.name} finds buildings in the pre image alone and grades no damage" if pre_only else None
    return tuple(notice for notice in (resized, unread) if notice)


async def map_damage(
    segmenter: Segmenter,
    pre: Pixels,
    post: Pixels,
    between: Sequence[Pixels] = (),
    rasters: Rasters = _NONE,
    observed: Mask | None = None,
) -> DamageMap:
    """Return the damage map of a pair that `check_pair` accepts.

    Args:
        segmenter: a model of the task and its request.
        pre: uint8 (H, W, 3), RGB, before the disaster; its grid is the answer's.
        post: uint8 (h, w, 3), RGB, after it, the last of a series.
        between: the images of the dates between, the oldest first, as many as the model reads.
        rasters: what is known of the ground, of those that the model takes.
        observed: bool (H, W), where all images show something; None: everywhere.
    """
    images = await _images(segmenter, pre, post, between, rasters)
    label_map, vote = await segmenter.label_map(images), segmenter.model.card.vote
    if observed is None and vote is None:
        return DamageMap(segmenter.model, label_map, images["post"])
    shown = await segmenter.aside(_shown, label_map, observed, vote)
    return DamageMap(segmenter.model, shown.label_map, images["post"], shown.hidden)


async def report_damage(
    segmenter: Segmenter,
    pre: Pixels,
    post: Pixels,
    between: Sequence[Pixels] = (),
    observed: Mask | None = None,
) -> DamageReport:
    """Return the damage map of a pair and every building in it; arguments as in `map_damage`."""
    images, vote = await _images(segmenter, pre, post, between), segmenter.model.card.vote
    known: list[Known] = []
    asked = segmenter.decided(images, known) if vote else segmenter.label_map_and_confidence(images)
    label_map, sureness = await asked

    def find() -> tuple[_Shown, list[Region]]:
        shown = _shown(label_map, observed, vote, sureness, known)
        return shown, regions(shown.label_map, shown.sureness, min_area=SMALLEST_BUILDING)

    shown, buildings = await segmenter.aside(find)
    return DamageReport(DamageMap(segmenter.model, shown.label_map, images["post"], shown.hidden), tuple(buildings))


@dataclass(frozen=True)
class _Shown:
    """What is shown of a label map, and of how many pixels nothing was observed."""

    label_map: Pixels
    sureness: Pixels | None
    hidden: int


def _shown(
    label_map: Pixels,
    observed: Mask | None,
    vote: VoteSpec | None,
    sureness: Pixels | None = None,
    known: Sequence[Known] = (),
) -> _Shown:
    """Return the label map with background where nothing was observed, and the votes of the rest; see `voted`."""
    hidden = 0
    if observed is not None:
        label_map, hidden = np.where(observed, label_map, np.uint8(0)), int(np.count_nonzero(~observed))
        known = [part.some(observed.reshape(-1).take(part.places)) for part in known]
    if vote is not None:
        label_map, sureness = voted(label_map, vote, sureness, known)
    return _Shown(label_map, sureness, hidden)


async def _images(
    segmenter: Segmenter, pre: Pixels, post: Pixels, between: Sequence[Pixels], rasters: Rasters = _NONE
) -> dict[str, NDArray[Any]]:
    """Return all images on the pre grid, and rasters, by the names of the model's inputs."""
    height, width = pre.shape[:2]
    last, *others = [
        image if image.shape == pre.shape else await segmenter.aside(to_pre_grid, image, (width, height))
        for image in (post, *between)
    ]
    images = inputs_of(segmenter.model, pre, last, others)
    return {**images, **filled(rasters_of(segmenter.model), rasters, (height, width))}


def inputs_of(model: Model, pre: T, post: T, between: Sequence[T]) -> dict[str, T]:
    """Return images by the names of a model's inputs.

    A model that reads more dates than there are is shown the image before the disaster in the place of the first ones:
    until then nothing was seen to change.
    """
    slots = slots_of(model)
    shown = [*[pre] * (len(slots) - len(between)), *between]
    return {"pre": pre, "post": post, **dict(zip(slots, shown, strict=True))}


def slots_of(model: Model) -> list[str]:
    """Return the names of a model's inputs for dates between, the oldest first; of two fused models, the finder's."""
    mapping = model.parts[0] if model.parts else model
    return sorted(spec.name for spec in mapping.card.inputs if spec.name.startswith(BETWEEN))


def rasters_of(model: Model) -> tuple[RasterSpec, ...]:
    """Return what a model takes beside images; of two fused models, what the finder takes."""
    return (model.parts[0] if model.parts else model).card.rasters


def filled(specs: Sequence[RasterSpec], given: Rasters, size: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Return rasters of `size` (H, W): those given, and others that say nothing."""
    return {
        spec.input: given[spec.input] if spec.input in given else np.full(size, spec.missing, spec.dtype)
        for spec in specs
    }


class SizesDoNotPair(ValueError):
    """The two images differ in shape and so cannot show the same frame."""


def check_sizes(pre: tuple[int, int], post: tuple[int, int], name: str = "post") -> str | None:
    """Decide from their sizes alone whether two images can be a pair.

    Two sizes pair when one is the other scaled, each side rounded to a whole pixel. With sides off by
    at most half a pixel, ``w′ = s·w ± ½`` and ``h′ = s·h ± ½``, hence
    ``|w′·h − w·h′| ≤ (w + h) / 2`` of the larger image.

    Args:
        pre: (width, height) of the pre-disaster image in pixels, as displayed.
        post: the same of the post-disaster image.
        name: of the latter.

    Returns:
        What the caller should be told when `to_pre_grid` will resize; None for equal sizes.

    Raises:
        SizesDoNotPair: the aspect ratios differ.
    """
    if pre == post:
        return None
    (pre_width, pre_height), (post_width, post_height) = pre, post
    if 2 * abs(post_width * pre_height - pre_width * post_height) > max(sum(pre), sum(post)):
        raise SizesDoNotPair(f"pre is {pre_width}×{pre_height}, {name} is {post_width}×{post_height}")
    return f"{name} image resized from {post_width}×{post_height} to {pre_width}×{pre_height}"


def to_pre_grid(post: UInt8, pre_size: tuple[int, int]) -> UInt8:
    """Return `post` with the size of the pre-disaster image, whose grid the label map has.

    Args:
        post: uint8, (height, width, 3), of a size that `check_sizes` accepts.
        pre_size: (width, height) in pixels.

    Returns:
        `post` itself if it has the size; else averaged down (area) or interpolated up (bilinear).
    """
    height, width = post.shape[:2]
    if (width, height) == pre_size:
        return post
    method = cv2.INTER_AREA if width * height > pre_size[0] * pre_size[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(post, pre_size, interpolation=method), np.uint8)
