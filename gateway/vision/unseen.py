"""Where a picture of the ground shows none: areas of one colour, and what clouds look like.

A local measure that needs no model, and errs on the side of showing: what it finds is flagged and not classified.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

CELL = 128
"""Side of the squares that are judged as a whole, in pixels: 64 m at half a metre, larger than most white roofs."""

# Of the 5,248 such squares in 82 pictures of the xBD sample none is as bright and as even; of squares half as long
# nine are, white roofs all of them.
_BRIGHT, _BRIGHT_SHARE, _EVEN = 160, 0.95, 20.0
_STEP = 4


def featureless(image: UInt8, observed: Mask) -> Mask:
    """Return which pixels lie in squares of `CELL` pixels that show nothing, bool (H, W).

    A square shows nothing where it is of one colour throughout, or where nearly all of it is bright in every band and
    evenly so, as clouds are, and snow, and overexposed ground; which of these it is cannot be told. Squares are laid
    from the top left; what is left over on a side is joined to the last or, from half a square on, one of its own.
    One pixel in sixteen is looked at.

    Args:
        image: uint8 (H, W, 3), RGB.
        observed: bool (H, W); other pixels do not count.
    """
    rows, columns = edges(len(image)), edges(image.shape[1])
    sampled, seen = image[::_STEP, ::_STEP], observed[::_STEP, ::_STEP]
    starts = [np.asarray(side[:-1]) // _STEP for side in (rows, columns)]

    def totals(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1))

    weight = seen.astype(np.float32)
    count = np.maximum(totals(weight), 1)
    grey = cv2.cvtColor(np.ascontiguousarray(sampled), cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = totals(grey * weight) / count
    deviation = np.sqrt(np.maximum(totals(grey**2 * weight) / count - mean**2, 0))
    bright = totals((sampled.min(axis=2) >= _BRIGHT) * weight) / count
    clouded = (bright >= _BRIGHT_SHARE) & (deviation <= _EVEN)
    shown = clouded | _of_one_colour(sampled, seen, starts)
    whole = np.repeat(np.repeat(shown, np.diff(rows), axis=0), np.diff(columns), axis=1)
    return whole & observed


def edges(length: int) -> list[int]:
    """Return where the squares along a side begin, and where the last ends; each is half to one and a half `CELL`."""
    return [*(round(CELL * i) for i in range(max(1, round(length / CELL)))), length]


def _of_one_colour(sampled: UInt8, seen: Mask, starts: list[npt.NDArray[np.int64]]) -> Mask:
    """Return which squares are seen in one colour alone, bool (rows, columns) of squares."""

    def reduced(values: UInt8, extreme: np.ufunc) -> UInt8:
        return np.asarray(extreme.reduceat(extreme.reduceat(values, starts[0], axis=0), starts[1], axis=1))

    inside = seen[:, :, np.newaxis]
    highest, lowest = reduced(sampled * inside, np.maximum), reduced(np.where(inside, sampled, 255), np.minimum)
    return np.asarray((highest <= lowest).all(axis=2))
