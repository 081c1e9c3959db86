"""One object's mask in the forms that annotation tools exchange: COCO's run lengths, and polygons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.vision.masks import ObjectMask
from gateway.vision.regions import Region, regions

Counts = NDArray[np.int64]

_BITS, _MORE, _SIGN, _FIRST_LETTER = 31, 32, 16, 48


def run_lengths(mask: ObjectMask) -> Counts:
    """Return COCO's uncompressed run-length code of the whole image.

    Columns follow each other from left to right, each from top to bottom; lengths of 0s and 1s take turns, the first is
    of 0s and may be 0.
    """
    total = mask.height * mask.width
    if mask.box is None:
        return np.array([total])
    # One column of 0 around the object parts the columns of its box, so that every run lies in one column.
    columns = np.zeros((mask.box.width, mask.box.height + 2), np.int8)
    columns[:, 1:-1] = mask.inside.T
    column, row = np.nonzero(np.diff(columns, axis=1))
    # Positions at which 0 turns to 1 and 1 to 0 by turns, counted down the columns of the whole image.
    turns = (mask.box.x0 + column) * mask.height + mask.box.y0 + row
    # An object from the bottom of one column to the top of the next goes on: the turn back and forth is none.
    together = np.flatnonzero(turns[1:-1:2] == turns[2::2])
    turns = np.delete(turns, np.concatenate([2 * together + 1, 2 * together + 2]))
    counts = np.diff(turns, prepend=0, append=total)
    # The code never ends with a run of no pixels.
    return counts if counts[-1] else counts[:-1]


def compress(counts: Counts) -> str:
    """Return COCO's compressed form of run lengths, as pycocotools writes it.

    From the fourth on, lengths are replaced by their differences to the last but one; each number is written in letters
    of five bits, the least first, with a sixth bit where more follow.
    """
    values = counts.copy()
    values[3:] -= counts[1:-2]
    letters, written = [], []
    more = np.ones(len(values), np.bool_)
    while more.any():
        letter = values & _BITS
        values >>= 5
        again = values != np.where(letter & _SIGN, -1, 0)
        letters.append(_FIRST_LETTER + letter + _MORE * again)
        written.append(more)
        more = more & again
    chosen = np.stack(letters, axis=1)[np.stack(written, axis=1)]
    return chosen.astype(np.uint8).tobytes().decode("ascii")


def outlines(mask: ObjectMask) -> list[Region]:
    """Return the parts of an object that do not touch each other, each with its outline and the holes in it.

    Coordinates are pixels of the whole image; see `Region`. The outlines are within one pixel of the exact ones.
    """
    if mask.box is None:
        return []
    x, y = mask.box.x0, mask.box.y0
    return [
        Region(
            polygon=[[px + x, py + y] for px, py in part.polygon],
            holes=[[[px + x, py + y] for px, py in hole] for hole in part.holes],
            value=part.value,
            area=part.area,
            confidence=part.confidence,
            box=(part.box[0] + x, part.box[1] + y, part.box[2] + x, part.box[3] + y),
        )
        for part in regions(mask.inside.view(np.uint8))
    ]
