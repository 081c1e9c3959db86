"""What a person would show of an object: clicks by the simulator of RITM (Sofiiuk et al., 2021), and boxes by hand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from gateway.vision.clicks import Box, inside_point

Mask = NDArray[np.bool_]

_PIXELS, _SHARE = 8.0, 0.12
_TIGHT, _INWARDS = 0.25, 0.12
"""Of boxes by hand: the most that a side is off, and how often none is or one lies inside; see `loosened`."""


@dataclass(frozen=True)
class Click:
    """A pixel, and whether it says "object" or "background"."""

    x: int
    y: int
    positive: bool


def next_click(predicted: Mask, truth: Mask, void: Mask | None = None) -> Click | None:
    """Return the middle of the larger error: the pixel deepest in what is missed, or in what is too much.

    Args:
        predicted: bool (H, W).
        truth: bool (H, W).
        void: bool (H, W), pixels that are no error whatever is predicted.

    Returns:
        The click, or None where there is no error.
    """
    missed, excess = truth & ~predicted, predicted & ~truth
    if void is not None:
        missed, excess = missed & ~void, excess & ~void
    depths = [_distance(error) for error in (missed, excess)]
    positive = depths[0].max() >= depths[1].max()
    worst = depths[0] if positive else depths[1]
    if not worst.max():
        return None
    row, column = np.unravel_index(worst.argmax(), worst.shape)
    return Click(int(column), int(row), bool(positive))


def likely_click(predicted: Mask, truth: Mask, rng: Generator) -> Click | None:
    """Return a click as `next_click` does, but as unsure as a hand: anywhere well inside the larger error."""
    depths = [_distance(error) for error in (truth & ~predicted, predicted & ~truth)]
    positive = depths[0].max() >= depths[1].max()
    worst = depths[0] if positive else depths[1]
    if not worst.max():
        return None
    rows, columns = np.nonzero(worst >= 0.5 * worst.max())
    chosen = int(rng.integers(len(rows)))
    return Click(int(columns[chosen]), int(rows[chosen]), bool(positive))


def likely_inside(mask: Mask, rng: Generator) -> tuple[int, int]:
    """Return a pixel (x, y) that a person might click as "inside": half the time the middle, else anywhere deep in it.

    Raises:
        ValueError: the mask is empty.
    """
    if rng.random() < 0.5:
        return inside_point(mask)
    depth = _distance(mask)
    rows, columns = np.nonzero(depth >= 0.4 * depth.max())
    chosen = int(rng.integers(len(rows)))
    return int(columns[chosen]), int(rows[chosen])


def loosened(rng: Generator, box: Box, height: int, width: int) -> Box:
    """Return a tight box as a person might draw it, inside the image.

    A quarter of the boxes stay tight. Of the others each side moves outwards by up to 8 pixels or up to 12 % of the
    box, whichever hand is drawn; one side in eight moves inwards instead, by a quarter of that.
    """
    if rng.random() < _TIGHT:
        return box
    pixels, share = rng.uniform(0, _PIXELS), rng.uniform(0, _SHARE)
    by_share = rng.random() < 0.5
    moves = rng.random(4) * (share * np.array([box.width, box.height] * 2) if by_share else pixels)
    # A box of few pixels keeps its shape under a hand that is off by some.
    moves = np.minimum(moves, 0.4 * np.array([box.width, box.height] * 2))
    moves[rng.random(4) < _INWARDS] *= -0.25
    left, top, right, bottom = np.rint(moves).astype(int).tolist()
    return Box(box.x0 - left, box.y0 - top, box.x1 + right, box.y1 + bottom).clipped(height, width)


def _distance(mask: Mask) -> NDArray[np.float32]:
    """Return how far each pixel is from the mask's edge; the image's border is an edge too."""
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance[1:-1, 1:-1], np.float32)
