"""The tools without a model as the simulator meets them: GrabCut, watershed, and a polygon drawn by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from export.tasks.interactive.methods import Answered, Attempt
from export.tasks.interactive.simulate import Click
from gateway.vision.classical import NothingToLearn, fill, grabcut, watershed
from gateway.vision.clicks import Box, Points, as_points, box_of_mask, inside_point

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

RADIUS = 5
"""Of a click's disc, in image pixels."""


class GrabCutMethod:
    """Two corners of a tight box; further clicks paint discs of object and background."""

    name, first, refines = "grabcut", 2, True

    def begin(self, image: Pixels, truth: Mask) -> Attempt:
        """Return the attempt."""
        return _GrabCutAttempt(image, _box(truth))


@dataclass(frozen=True)
class _GrabCutAttempt:
    image: Pixels
    box: Box

    def mask(self, clicks: Sequence[Click]) -> Mask:
        positive, negative = (_points(clicks, positive) for positive in (True, False))
        try:
            return grabcut(self.image, self.box, positive, negative, RADIUS)
        except NothingToLearn:
            return _filled(self.box, self.image)


class WatershedMethod:
    """A click inside and two corners, whose box is the first stroke beside the object; further clicks are strokes."""

    name, first, refines = "watershed", 3, True

    def begin(self, image: Pixels, truth: Mask) -> Attempt:
        """Return the attempt."""
        frame = _box(truth).relaxed(RADIUS + 1).corners()
        return _WatershedAttempt(image, as_points([inside_point(truth)]), np.vstack([frame, frame[:1]]))


@dataclass(frozen=True)
class _WatershedAttempt:
    image: Pixels
    inside: Points
    frame: Points

    def mask(self, clicks: Sequence[Click]) -> Mask:
        inside = [self.inside, *_dots(clicks, positive=True)]
        outside = [self.frame, *_dots(clicks, positive=False)]
        return watershed(self.image, inside, outside, RADIUS)


class PolygonMethod:
    """The outline drawn by a careful hand: every click is one more vertex of the best simplified outline."""

    name, first, refines = "polygon", 3, True

    def begin(self, image: Pixels, truth: Mask) -> Attempt:
        """Return the attempt."""
        contours, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        return _PolygonAttempt(max(contours, key=cv2.contourArea), truth.shape)


@dataclass(frozen=True)
class _PolygonAttempt:
    outline: cv2.typing.MatLike
    shape: tuple[int, ...]

    def mask(self, clicks: Sequence[Click]) -> Mask:
        most = PolygonMethod.first + len(clicks)
        coarsest, finest = cv2.arcLength(self.outline, closed=True), 0.0
        polygon = self.outline[:1]
        for _ in range(20):
            middle = (coarsest + finest) / 2
            candidate = cv2.approxPolyDP(self.outline, middle, closed=True)
            if len(candidate) <= most:
                polygon, coarsest = candidate, middle
            else:
                finest = middle
        return fill(np.asarray(polygon, np.float64).reshape(-1, 2), *self.shape)


class BoxMethod:
    """The tight box itself: what any method has to beat."""

    name, first, refines = "box", 2, False

    def begin(self, image: Pixels, truth: Mask) -> Attempt:
        """Return the attempt."""
        return Answered(_filled(_box(truth), image))


CLASSICAL = (BoxMethod(), GrabCutMethod(), WatershedMethod(), PolygonMethod())
"""One of each."""


def _box(truth: Mask) -> Box:
    box = box_of_mask(truth)
    if box is None:
        raise ValueError("there is no object")
    return box


def _filled(box: Box, image: Pixels) -> Mask:
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1] = True
    return mask


def _points(clicks: Sequence[Click], positive: bool) -> Points:
    return as_points([(click.x, click.y) for click in clicks if click.positive is positive])


def _dots(clicks: Sequence[Click], positive: bool) -> list[Points]:
    return [point[None] for point in _points(clicks, positive)]
