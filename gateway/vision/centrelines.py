"""Centre lines of a mask, and how long they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]

# What one step along a row or column, and one across a corner, count for: with these a straight line's length is right
# on average over all directions, and at most 6 % off in each (Vossepoel and Smeulders, Computer Graphics and Image
# Processing 20, 1982, without their term of corners).
_STRAIGHT, _DIAGONAL = 0.948, 1.340

# How far, in pixels: half of what is thinned, about.
_BEYOND = 16

# Clockwise from above: (rows down, columns right).
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def thinned(mask: Mask) -> Mask:
    """Return the centre lines of a mask, bool (H, W), one pixel wide and connected as the mask is.

    By Zhang and Suen (Communications of the ACM 27, 1984). What reaches the image's edge is taken to go on beyond it.
    """
    line = np.pad(mask, _BEYOND, mode="edge")
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            around = _neighbours(line)
            count = sum(each.view(np.uint8) for each in around)
            rises = sum((~a & b).view(np.uint8) for a, b in zip(around, [*around[1:], around[0]], strict=True))
            above, _, right, _, below, _, left, _ = around
            open_side = (
                ~(above & right & below) & ~(right & below & left)
                if first
                else ~(above & right & left) & ~(above & below & left)
            )
            gone = line & (count >= 2) & (count <= 6) & (rises == 1) & open_side
            if gone.any():
                line &= ~gone
                changed = True
    return _without_stairs(line)[_BEYOND:-_BEYOND, _BEYOND:-_BEYOND]


def _without_stairs(line: Mask) -> Mask:
    """Return lines without the pixels that join two others around a corner which touch each other across it."""
    for turn in range(0, 8, 2):
        around = _neighbours(line)
        ahead, beside = around[turn], around[(turn + 2) % 8]
        others = np.logical_or.reduce([around[(turn + step) % 8] for step in (1, 4, 5, 6)])
        line = line & ~(ahead & beside & ~others)
    return line


def lengths(line: Mask) -> Float32:
    """Return what of the length of centre lines each of their pixels has, in pixels, float32 (H, W); elsewhere 0.

    Each step from a pixel to a neighbour is shared by both. A step across a corner counts where no way along row and
    column leads there. So sums over parts of an image add up to that of the whole.
    """
    above, above_right, right, below_right, below, below_left, left, above_left = _neighbours(line)
    straight = sum(each.astype(np.float32) for each in (above, right, below, left))
    diagonal = sum(
        (corner & ~one & ~other).astype(np.float32)
        for corner, one, other in (
            (above_right, above, right),
            (below_right, below, right),
            (below_left, below, left),
            (above_left, above, left),
        )
    )
    found: Float32 = np.where(line, (_STRAIGHT * straight + _DIAGONAL * diagonal) / 2, 0).astype(np.float32)
    return found


def _neighbours(mask: Mask) -> list[Mask]:
    height, width = mask.shape
    padded = np.pad(mask, 1)
    return [padded[1 + down : 1 + down + height, 1 + right : 1 + right + width] for down, right in _AROUND]
