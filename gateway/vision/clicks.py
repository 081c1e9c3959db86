"""Clicks as networks take them: crops that may leave the image, click maps, and the way back.

The pipelines are those of Inside-Outside Guidance (Zhang et al., 2020) and DEXTR (Maninis et al., 2018). Coordinates
are (x, y) pixels, origin at the centre of the top left pixel. Training and serving use these functions alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log, sqrt
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
"""Float64, (N, 2): x and y of each point."""
Values = TypeVar("Values", NDArray[np.float32], NDArray[np.uint8])


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels, both bounds inclusive; it may leave the image."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Columns in it."""
        return self.x1 - self.x0 + 1

    @property
    def height(self) -> int:
        """Rows in it."""
        return self.y1 - self.y0 + 1

    def relaxed(self, margin: int) -> Box:
        """Return the box with `margin` more pixels on every side, not clipped to any image."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def framed(self, margin: int, share: float) -> Box:
        """Return the box with `margin` more pixels and `share` of its longer side on every side, not clipped."""
        return self.relaxed(margin + round(share * max(self.width, self.height)))

    def including(self, x: float, y: float) -> Box:
        """Return the smallest box that holds this one and the pixel nearest to (x, y)."""
        column, row = round(x), round(y)
        return Box(min(self.x0, column), min(self.y0, row), max(self.x1, column), max(self.y1, row))

    def clipped(self, height: int, width: int) -> Box:
        """Return the part inside an image; without one, width or height is less than 1."""
        return Box(max(self.x0, 0), max(self.y0, 0), min(self.x1, width - 1), min(self.y1, height - 1))

    def holds(self, x: float, y: float) -> bool:
        """Return whether the pixel nearest to (x, y) is in the box."""
        return self.x0 <= round(x) <= self.x1 and self.y0 <= round(y) <= self.y1

    def corners(self) -> Points:
        """Return the four corner pixels, clockwise from the top left."""
        return as_points([(self.x0, self.y0), (self.x1, self.y0), (self.x1, self.y1), (self.x0, self.y1)])


def as_points(points: Iterable[Iterable[float]]) -> Points:
    """Return points as an array, (N, 2) also for N = 0."""
    return np.array([tuple(point) for point in points], np.float64).reshape(-1, 2)


def box_around(points: Points) -> Box:
    """Return the smallest box of the pixels nearest to `points`: two corners in either diagonal, four extremes.

    Raises:
        ValueError: there are no points.
    """
    x0, y0 = np.rint(points.min(axis=0)).astype(int).tolist()
    x1, y1 = np.rint(points.max(axis=0)).astype(int).tolist()
    return Box(x0, y0, x1, y1)


def box_of_mask(mask: NDArray[np.bool_]) -> Box | None:
    """Return the tight box of a mask (H, W); None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def inside_point(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the pixel (x, y) of a mask that is farthest from its edge; the image's border is an edge too.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no inside")
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    return int(column) - 1, int(row) - 1


@dataclass(frozen=True)
class Crop:
    """A part of an image, resized to the square that a network takes.

    Attributes:
        box: the part, in image pixels; what lies outside the image is black.
        size: side of the square, in pixels.
    """

    box: Box
    size: int

    def cut(self, image: Pixels) -> Pixels:
        """Return the part of `image` (H, W) or (H, W, C), resized bilinearly to (size, size) or (size, size, C)."""
        return self._cut(image, cv2.INTER_LINEAR)

    def cut_bicubic(self, image: Pixels) -> Pixels:
        """Return the same resized bicubically, as DEXTR wants it."""
        return self._cut(image, cv2.INTER_CUBIC)

    def _cut(self, image: Pixels, interpolation: int) -> Pixels:
        part = cut(image, self.box)
        if part.shape[:2] == (self.size, self.size):
            return part
        resized = cv2.resize(part, (self.size, self.size), interpolation=interpolation)
        return np.asarray(resized, np.uint8).reshape(self.size, self.size, *image.shape[2:])

    def to_crop(self, points: Points) -> Points:
        """Return image points in pixels of the square: p' = (p − origin) · size / extent, per axis."""
        return (points - self._origin) * self._scale

    def paste(self, probability: Values, height: int, width: int) -> Values:
        """Return the network's answer on the image's grid, 0 outside the crop.

        Args:
            probability: (size, size), float32 in [0, 1] or uint8, 255 for 1.
            height: of the image.
            width: of the image.

        Returns:
            (height, width), in the type of `probability`: resized bicubically, the part inside the image.
        """
        shown = self.box.clipped(height, width)
        canvas = np.zeros((height, width), probability.dtype)
        if shown.width > 0 and shown.height > 0:
            canvas[shown.y0 : shown.y1 + 1, shown.x0 : shown.x1 + 1] = self.uncut(probability, shown)
        return canvas

    def uncut(self, probability: Values, part: Box) -> Values:
        """Return `paste`'s values in `part` alone, which lies in the crop's box; (part.height, part.width)."""
        values = probability
        if probability.shape != (self.box.height, self.box.width):
            resized = cv2.resize(probability, (self.box.width, self.box.height), interpolation=cv2.INTER_CUBIC)
            values = np.asarray(resized, probability.dtype)
            if probability.dtype == np.float32:
                np.clip(values, 0, 1, out=values)
        x, y = part.x0 - self.box.x0, part.y0 - self.box.y0
        return values[y : y + part.height, x : x + part.width]

    @property
    def _origin(self) -> Points:
        return np.array([[self.box.x0, self.box.y0]], np.float64)

    @property
    def _scale(self) -> Points:
        return self.size / np.array([[self.box.width, self.box.height]], np.float64)


def cut(image: Pixels, box: Box) -> Pixels:
    """Return the part of an image (H, W) or (H, W, C) in `box`, zero where the box leaves the image."""
    height, width = image.shape[:2]
    inside = box.clipped(height, width)
    if inside == box:
        return image[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1]
    part = np.zeros((box.height, box.width, *image.shape[2:]), image.dtype)
    if inside.width > 0 and inside.height > 0:
        part[inside.y0 - box.y0 : inside.y1 - box.y0 + 1, inside.x0 - box.x0 : inside.x1 - box.x0 + 1] = image[
            inside.y0 : inside.y1 + 1, inside.x0 : inside.x1 + 1
        ]
    return part


def pushed_out(corners: Points, pixels: float, size: int) -> Points:
    """Return a tight box's corners, clockwise from the top left, `pixels` farther out but inside the square of `size`.

    Networks learnt with such corners, because people click a little outside of what they mean.
    """
    outwards = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)
    return np.clip(corners + pixels * outwards, 0, size - 1)


def click_map(points: Points, size: int, sigma: float) -> Pixels:
    """Return the map of `points` as graphs take it: exp(−4 ln 2 · d² / sigma²), d the distance to the nearest of them.

    Args:
        points: in pixels of the square; rounded half to even, since a fractional centre has no pixel that is 1.
        size: side of the square.
        sigma: full width at half maximum, in pixels.

    Returns:
        uint8 (size, size), 255 at a click; all 0 without points.
    """
    heat, bump = np.zeros((size, size), np.uint8), _bump(sigma)
    reach = len(bump) // 2
    for x, y in np.rint(points).astype(int).tolist():
        top, left = max(0, y - reach), max(0, x - reach)
        place = heat[top : max(0, y + reach + 1), left : max(0, x + reach + 1)]
        shown = bump[top - y + reach :, left - x + reach :][: place.shape[0], : place.shape[1]]
        np.maximum(place, shown, out=place)
    return heat


@lru_cache(maxsize=8)
def _bump(sigma: float) -> Pixels:
    """Return the map of one click around it, uint8 (2 · reach + 1, 2 · reach + 1), as far as it is not 0."""
    # Farther away it is less than half of a step of 1 / 255.
    reach = ceil(sigma * sqrt(log(2 * 255) / (4 * log(2))))
    # The Gaussian of a sum is a product: one row instead of a square of exponentials.
    row = np.exp(-4 * np.log(2) * (np.arange(-reach, reach + 1, dtype=np.float32) / sigma) ** 2, dtype=np.float32)
    bump: Pixels = np.rint(255 * (row[:, None] * row[None, :])).astype(np.uint8)
    bump.flags.writeable = False
    return bump
