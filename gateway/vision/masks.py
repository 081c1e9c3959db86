"""Masks of single objects, kept as the little of an image that they cover, and several of them as one map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.vision.clicks import Box, Pixels, box_of_mask

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """One object's pixels.

    Attributes:
        height: of the image.
        width: of the image.
        box: the tight box of the object, inside the image; None where there is no pixel of it.
        inside: bool (box.height, box.width), the object's pixels in its box; (0, 0) where there are none.
    """

    height: int
    width: int
    box: Box | None
    inside: Mask

    @classmethod
    def of(cls, mask: Mask) -> ObjectMask:
        """Return the object of a mask (H, W) of the whole image."""
        height, width = mask.shape
        return cls.within(mask, Box(0, 0, width - 1, height - 1), height, width)

    @classmethod
    def nothing(cls, height: int, width: int) -> ObjectMask:
        """Return an object without a pixel."""
        return cls(height, width, None, np.zeros((0, 0), np.bool_))

    @classmethod
    def within(cls, part: Mask, place: Box, height: int, width: int) -> ObjectMask:
        """Return the object of a mask (place.height, place.width) that lies at `place` in an image of that size."""
        tight = box_of_mask(part)
        if tight is None:
            return cls.nothing(height, width)
        # A copy, so that a small object does not hold the part that it was found in.
        inside = part[tight.y0 : tight.y1 + 1, tight.x0 : tight.x1 + 1].copy()
        x, y = place.x0, place.y0
        return cls(height, width, Box(tight.x0 + x, tight.y0 + y, tight.x1 + x, tight.y1 + y), inside)

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(np.count_nonzero(self.inside))

    def holds(self, x: float, y: float) -> bool:
        """Return whether the pixel nearest to (x, y) is the object's."""
        if self.box is None or not self.box.holds(x, y):
            return False
        return bool(self.inside[round(y) - self.box.y0, round(x) - self.box.x0])

    def whole(self) -> Mask:
        """Return the mask on the whole image, bool (height, width)."""
        return merge([self], self.height, self.width).view(np.bool_)


def filled(mask: ObjectMask, negative: Iterable[tuple[float, float]] = ()) -> ObjectMask:
    """Return an object without its holes, but for those that hold a negative click."""
    if mask.box is None:
        return mask
    beside = np.pad(~mask.inside, 1, constant_values=True).astype(np.uint8)
    _, parts = cv2.connectedComponents(beside, connectivity=8)
    kept = {int(parts[0, 0])}
    for x, y in negative:
        if mask.box.holds(x, y):
            kept.add(int(parts[round(y) - mask.box.y0 + 1, round(x) - mask.box.x0 + 1]))
    whole = mask.inside | ~np.isin(parts[1:-1, 1:-1], list(kept))
    return ObjectMask(mask.height, mask.width, mask.box, whole)


def largest_part(mask: ObjectMask, positive: Iterable[tuple[float, float]] = ()) -> ObjectMask:
    """Return the largest of an object's parts that do not touch, with those that hold a positive click."""
    if mask.box is None:
        return mask
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.inside.view(np.uint8), connectivity=8)
    kept = {1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())}
    kept |= {int(parts[round(y) - mask.box.y0, round(x) - mask.box.x0]) for x, y in positive if mask.box.holds(x, y)}
    return ObjectMask.within(np.isin(parts, list(kept - {0})), mask.box, mask.height, mask.width)


def overlap(one: ObjectMask, other: ObjectMask) -> float:
    """Return the intersection of two objects of one image over their union, 0–1; 0 of nothing."""
    if one.box is None or other.box is None:
        return 0.0
    part = Box(
        max(one.box.x0, other.box.x0),
        max(one.box.y0, other.box.y0),
        min(one.box.x1, other.box.x1),
        min(one.box.y1, other.box.y1),
    )
    shared = 0
    if part.width > 0 and part.height > 0:
        first, second = (
            each.inside[part.y0 - box.y0 :, part.x0 - box.x0 :][: part.height, : part.width]
            for each, box in ((one, one.box), (other, other.box))
        )
        shared = int(np.count_nonzero(first & second))
    return shared / (one.area + other.area - shared)


def uncovered(masks: Sequence[ObjectMask], height: int, width: int) -> list[ObjectMask]:
    """Return what `merge` shows of each object."""
    instances = merge(masks, height, width)
    return [
        mask
        if mask.box is None
        else ObjectMask.within(
            instances[mask.box.y0 : mask.box.y1 + 1, mask.box.x0 : mask.box.x1 + 1] == value, mask.box, height, width
        )
        for value, mask in enumerate(masks, start=1)
    ]


def merge(masks: Iterable[ObjectMask], height: int, width: int) -> Pixels:
    """Return the instance map of up to 255 objects: uint8 (height, width), 0 background, n the n-th object.

    Where objects overlap the later one is on top.
    """
    instances = np.zeros((height, width), np.uint8)
    for value, mask in enumerate(masks, start=1):
        if mask.box is not None:
            place = instances[mask.box.y0 : mask.box.y1 + 1, mask.box.x0 : mask.box.x1 + 1]
            np.copyto(place, value, where=mask.inside)
    return instances
