"""Masks without a model: GrabCut, watershed, and the outline itself.

GrabCut is Rother, Kolmogorov and Blake (2004), the watershed Meyer's (1992), both as OpenCV has them. Coordinates are
(x, y) pixels, origin at the centre of the top left pixel. The same input gives the same mask, in any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.vision.clicks import Box, Pixels, Points, cut

Mask = NDArray[np.bool_]

GRABCUT_PIXELS = 200_000
"""Larger parts are reduced to so many before GrabCut: about a second on one core."""

WATERSHED_PIXELS = 1_000_000
"""The same for the watershed, about half a second."""

# GrabCut learns the background from this much of it around the box, as a share of the box's longer side. On the photos
# of the project's samples a quarter gives the masks that the whole image gives, or better ones, in less time.
_MARGIN, _LEAST_MARGIN = 0.25, 10
_OBJECT, _BACKGROUND = 1, 2


class NothingToLearn(ValueError):
    """The hints leave no pixel that may be object, or none that may be background."""


def surroundings(box: Box, height: int, width: int) -> Box:
    """Return the part of an image that `grabcut` looks at: the box and a margin around it."""
    margin = max(_LEAST_MARGIN, round(_MARGIN * max(box.width, box.height)))
    return box.relaxed(margin).clipped(height, width)


def grabcut(image: Pixels, box: Box, positive: Points, negative: Points, radius: int, iterations: int = 5) -> Mask:
    """Return the object in `box` by GrabCut.

    What is outside the box is background; where that is less than a ring around the box (a box over the whole image,
    on which OpenCV itself fails), the box's own border is background too. Only the box's `surroundings` are looked at,
    reduced to `GRABCUT_PIXELS` where they have more, so that large images take no longer.

    Args:
        image: uint8 (H, W, 3).
        box: inside the image.
        positive: surely object, each a disc of `radius` image pixels.
        negative: surely background; over `positive` where they overlap.
        radius: of a click, ≥ 0.
        iterations: rounds of learning and cutting.

    Returns:
        bool (H, W), False outside the box.

    Raises:
        NothingToLearn: the clicks cover the whole box, or all that is not object.
    """
    height, width = image.shape[:2]
    view = surroundings(box, height, width)
    scale, size = _reduced(view.width, view.height, GRABCUT_PIXELS)
    hints = _hints(box, view, size)
    for points, hint in ((positive, cv2.GC_FGD), (negative, cv2.GC_BGD)):
        for x, y in (points - (view.x0, view.y0)) * scale:
            cv2.circle(hints, (round(x), round(y)), round(radius * scale), hint, cv2.FILLED)
    part = cv2.resize(cut(image, view), size, interpolation=cv2.INTER_AREA)
    found = 255 * _cut(np.asarray(part, np.uint8), hints, iterations)
    whole = cv2.resize(found, (view.width, view.height), interpolation=cv2.INTER_LINEAR) > 127
    mask = np.zeros((height, width), np.bool_)
    inside = mask[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1]
    inside[:] = whole[box.y0 - view.y0 :, box.x0 - view.x0 :][: box.height, : box.width]
    return mask


def scarce_background(box: Box, view: Box) -> bool:
    """Return whether `view` has less background around `box` than a ring of one pixel around itself."""
    return view.width * view.height - box.width * box.height < 2 * (view.width + view.height)


def _reduced(width: int, height: int, most: int) -> tuple[float, tuple[int, int]]:
    """Return the factor, at most 1, that leaves about `most` pixels, and the (width, height) it leaves."""
    scale = min(1.0, sqrt(most / (width * height)))
    return scale, (max(1, round(width * scale)), max(1, round(height * scale)))


def _hints(box: Box, view: Box, size: tuple[int, int]) -> Pixels:
    """Return what the box alone says of the pixels of `view`, reduced to `size` (width, height)."""
    columns = (np.array([box.x0, box.x1 + 1]) - view.x0) * size[0] / view.width
    rows = (np.array([box.y0, box.y1 + 1]) - view.y0) * size[1] / view.height
    (x0, x1), (y0, y1) = np.rint(columns).astype(int), np.rint(rows).astype(int)
    hints = np.full((size[1], size[0]), cv2.GC_BGD, np.uint8)
    hints[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = cv2.GC_PR_FGD
    if scarce_background(box, view):
        hints[[y0, max(y1, y0 + 1) - 1], :] = cv2.GC_BGD
        hints[:, [x0, max(x1, x0 + 1) - 1]] = cv2.GC_BGD
    return hints


def _cut(part: Pixels, hints: Pixels, iterations: int) -> Pixels:
    """Return 1 at the object's pixels, 0 elsewhere; `hints` become GrabCut's labels."""
    if len(np.unique(hints & 1)) < 2:
        raise NothingToLearn("all pixels are object, or all background")
    # The colour models begin with k-means, whose random numbers are the thread's own.
    cv2.setRNGSeed(0)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(part, hints, (0, 0, 1, 1), background, foreground, iterations, cv2.GC_INIT_WITH_MASK)
    return np.asarray(hints & 1, np.uint8)


def watershed(image: Pixels, inside: Sequence[Points], outside: Sequence[Points], radius: int) -> Mask:
    """Return what floods from the strokes on the object before it floods from those beside it.

    Images of more than `WATERSHED_PIXELS` are reduced to so many.

    Args:
        image: uint8 (H, W, 3).
        inside: strokes on the object, each a line through its points, `radius` image pixels to either side.
        outside: strokes beside it; where they overlap, those on the object win.
        radius: ≥ 0.

    Returns:
        bool (H, W); the line between the two is background.

    Raises:
        NothingToLearn: there are no strokes of one kind, or those on the object cover all others.
    """
    height, width = image.shape[:2]
    scale, size = _reduced(width, height, WATERSHED_PIXELS)
    # OpenCV gives the outermost pixels to nobody; a frame is added for it to take.
    framed = cv2.copyMakeBorder(cv2.resize(image, size, interpolation=cv2.INTER_AREA), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    markers = np.zeros(framed.shape[:2], np.int32)
    for strokes, marker in ((outside, _BACKGROUND), (inside, _OBJECT)):
        for stroke in strokes:
            line = np.rint(stroke * scale).astype(np.int32) + 1
            cv2.polylines(markers, [line], isClosed=False, color=marker, thickness=2 * round(radius * scale) + 1)
            # A line of one point has no length to draw.
            cv2.circle(markers, line[0].tolist(), round(radius * scale), marker, cv2.FILLED)
    if not ((markers == _OBJECT).any() and (markers == _BACKGROUND).any()):
        raise NothingToLearn("one of object and background has no stroke of its own")
    cv2.watershed(framed, markers)
    found = 255 * (markers[1:-1, 1:-1] == _OBJECT).astype(np.uint8)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) > 127)


def fill(polygon: Points, height: int, width: int) -> Mask:
    """Return the pixels of an outline: even-odd, vertices rounded to pixels, the outline itself included.

    Args:
        polygon: vertices in order, at least three.
        height: of the image.
        width: of the image.
    """
    canvas = np.zeros((height, width), np.uint8)
    cv2.fillPoly(canvas, [np.rint(polygon).astype(np.int32)], 1)
    return canvas.view(np.bool_)


def crosses_itself(polygon: Points) -> bool:
    """Return whether two edges of an outline cross in the midst of both; touching is let pass."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    # Row i, column j: on which side of edge i edge j starts and ends.
    from_start, from_end = _sides(start, end, start), _sides(start, end, end)
    apart = from_start * from_end < 0
    return bool((apart & apart.T).any())


def _sides(start: Points, end: Points, points: Points) -> NDArray[np.float64]:
    """Return the side of each edge, start to end, on which each point lies: −1, 0 or 1, (edges, points)."""
    along, to = (end - start)[:, None], points[None] - start[:, None]
    return np.asarray(np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]))


def encloses_nothing(polygon: Points) -> bool:
    """Return whether all vertices, rounded to pixels, lie on one line."""
    spokes = np.rint(polygon) - np.rint(polygon[:1])
    farthest = spokes[np.abs(spokes).sum(axis=1).argmax()]
    return not (spokes[:, 0] * farthest[1] - spokes[:, 1] * farthest[0]).any()
