"""Where a picture of the ground shows none: areas of one colour, and what clouds look like.

A local measure that needs no model, and errs on the side of showing: what it finds is flagged and not classified.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]

CELL = 128
"""Side of the squares that are judged as a whole, in pixels: 64 m at half a metre, larger than most white roofs."""

# Of the 5,248 such squares in 82 pictures of the xBD sample none is as bright and as even; of squares half as long
# nine are, white roofs all of them.
_BRIGHT, _BRIGHT_SHARE, _EVEN = 160, 0.95, 20.0
_STEP = 4
# What single precision may make of no deviation at all, and more.
_HARDLY = 4.0


def featureless(image: UInt8, observed: Mask) -> list[tuple[slice, slice]]:
    """Return the squares of `CELL` pixels that show nothing.

    A square shows nothing where it is of one colour throughout, or where nearly all of it is bright in every band and
    evenly so, as clouds are, and snow, and overexposed ground; which of these it is cannot be told. Squares are laid
    from the top left; what is left over on a side is joined to the last or, from half a square on, one of its own.
    One pixel in sixteen is looked at.

    Args:
        image: uint8 (H, W, 3), RGB.
        observed: bool (H, W); other pixels do not count.

    Returns:
        Rows and columns of each, in reading order, with what was not observed in them.
    """
    rows, columns = edges(len(image)), edges(image.shape[1])
    # As planes, since numpy takes the extremes of three values in a row a pixel at a time.
    planes = np.ascontiguousarray(np.moveaxis(image[::_STEP, ::_STEP], 2, 0))
    seen = np.ascontiguousarray(observed[::_STEP, ::_STEP])
    starts = [np.asarray(side[:-1]) // _STEP for side in (rows, columns)]

    def totals(values: Float32) -> Float32:
        return np.asarray(np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1))

    weight = seen.astype(np.float32)
    count = np.maximum(totals(weight), 1)
    grey = cv2.cvtColor(cv2.merge(list(planes)), cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = totals(grey * weight) / count
    deviation = np.sqrt(np.maximum(totals(grey**2 * weight) / count - mean**2, 0))
    bright = totals((planes.min(axis=0) >= _BRIGHT) * weight) / count
    shown = (bright >= _BRIGHT_SHARE) & (deviation <= _EVEN)
    for row, column in np.argwhere((deviation <= _HARDLY) & ~shown).tolist():
        square = np.s_[slice(*_ends(starts[0], row)), slice(*_ends(starts[1], column))]
        shown[row, column] = _of_one_colour(planes[:, *square], seen[square])
    return [
        (slice(rows[row], rows[row + 1]), slice(columns[column], columns[column + 1]))
        for row, column in np.argwhere(shown).tolist()
    ]


def edges(length: int) -> list[int]:
    """Return where the squares along a side begin, and where the last ends; each is half to one and a half `CELL`."""
    return [*(round(CELL * i) for i in range(max(1, round(length / CELL)))), length]


def _ends(starts: npt.NDArray[np.int64], number: int) -> tuple[int, int | None]:
    """Return where a square begins and ends along a side."""
    return int(starts[number]), int(starts[number + 1]) if number + 1 < len(starts) else None


def _of_one_colour(square: UInt8, seen: Mask) -> bool:
    """Return whether what is seen of a square (bands, rows, columns) is the same throughout, as nothing is."""
    if not seen.any():
        return True
    row, column = np.unravel_index(seen.argmax(), seen.shape)
    return not ((square != square[:, row, column][:, None, None]).any(axis=0) & seen).any()
