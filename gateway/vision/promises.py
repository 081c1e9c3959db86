"""A click is a promise: what a mask holds at the pixels that were clicked, whatever was found there.

Coordinates are (x, y) pixels, origin at the centre of the top left pixel.
"""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.vision.clicks import Box, Pixels, Points

Mask = NDArray[np.bool_]

_REACH = 4
"""Radii of a click within which its surroundings change with it."""


def honoured(
    mask: Mask, positive: Points, negative: Points, radius: float, values: Pixels | None = None, above: int = 127
) -> Mask:
    """Return a mask that holds every positive click and no negative one.

    Where the mask does so already it stays as it is. Else the click's own disc is set, and with it the pixels around it
    that are connected to it and whose probability says as much: a miss is seldom of one pixel. What lies nearer to a
    click of the other kind is left to that.

    Args:
        mask: bool (H, W).
        positive: clicks on the object; those outside the mask's grid are passed over.
        negative: clicks beside it.
        radius: of a click's disc, in pixels; its own pixel is always in it.
        values: uint8 (H, W), the probability that the mask was made from; None where there is none.
        above: values above it are the object's.

    Returns:
        bool (H, W); the mask itself where it needs no change.
    """
    kept = mask
    for points, others, wanted in ((positive, negative, True), (negative, positive, False)):
        for x, y in np.rint(points).astype(int).tolist():
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and kept[y, x] != wanted:
                kept = mask.copy() if kept is mask else kept
                _force(kept, (x, y), wanted, others, radius, values, above)
    return kept


def _force(
    kept: Mask,
    click: tuple[int, int],
    wanted: bool,
    others: Points,
    radius: float,
    values: Pixels | None,
    above: int,
) -> None:
    """Set what belongs to a click, in place; arguments as of `honoured`."""
    x, y = click
    reach = ceil(_REACH * max(radius, 0.5))
    part = Box(x - reach, y - reach, x + reach, y + reach).clipped(*kept.shape)
    window = np.s_[part.y0 : part.y1 + 1, part.x0 : part.x1 + 1]
    rows, columns = np.ogrid[part.y0 : part.y1 + 1, part.x0 : part.x1 + 1]
    distance = (columns - x) ** 2 + (rows - y) ** 2
    grown = distance <= radius**2
    if values is not None:
        grown |= _alike(kept[window], values[window], (x - part.x0, y - part.y0), wanted, above) & (
            distance <= reach**2
        )
    grown[y - part.y0, x - part.x0] = True
    near = others[np.abs(others - click).max(axis=1, initial=0) <= 2 * reach]
    for other_x, other_y in near:
        grown &= (columns - other_x) ** 2 + (rows - other_y) ** 2 > distance
    kept[window][grown] = wanted


def _alike(mask: Mask, values: Pixels, click: tuple[int, int], wanted: bool, above: int) -> Mask:
    """Return the pixels connected to a click that are as wrong as it: bool, of the shape of the mask.

    A click where the network is sure of the contrary says nothing of its surroundings: there are none.
    """
    column, row = click
    value = int(values[row, column])
    if value <= above // 2 if wanted else value > (255 + above) // 2:
        return np.zeros_like(mask)
    wrong = (values >= value) & ~mask if wanted else (values <= value) & mask
    _, parts = cv2.connectedComponents(wrong.astype(np.uint8), connectivity=4)
    return np.asarray(parts == parts[row, column])
