"""Masks of single objects, kept as the little of an image that they cover, and several of them as one map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    def within(cls, part: Mask, place: Box, height: int, width: int) -> ObjectMask:
        """Return the object of a mask (place.height, place.width) that lies at `place` in an image of that size."""
        tight = box_of_mask(part)
        if tight is None:
            return cls(height, width, None, np.zeros((0, 0), np.bool_))
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
