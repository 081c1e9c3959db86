"""One object's mask in the forms that annotation tools exchange: COCO's run lengths, and polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely import LinearRing, Polygon

from gateway.vision.masks import ObjectMask

Counts = NDArray[np.int64]
Ring = list[list[int]]

_BITS, _MORE, _SIGN, _FIRST_LETTER = 31, 32, 16, 48
_LONGEST = 60


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


def read_run_lengths(counts: str | Sequence[int], height: int, width: int) -> ObjectMask:
    """Return the object whose run lengths, compressed or as numbers, are COCO's of an image of that size.

    Raises:
        ValueError: they are those of no such image.
    """
    lengths = np.array(_decompressed(counts) if isinstance(counts, str) else counts, np.int64)
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"no run lengths of {height} × {width} pixels")
    inside = np.arange(len(lengths)) % 2 == 1
    return ObjectMask.of(np.repeat(inside, lengths).reshape(width, height).T)


def _decompressed(text: str) -> list[int]:
    lengths: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        bits = code - _FIRST_LETTER
        if not 0 <= bits < 2 * _MORE or shift > _LONGEST:
            raise ValueError("no letter of run lengths")
        value |= (bits & _BITS) << shift
        shift += 5
        if not bits & _MORE:
            value -= (1 << shift) if bits & _SIGN else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the last run length is cut off")
    return lengths


@dataclass(frozen=True)
class Outline:
    """One part of an object whose pixels touch along their sides.

    Attributes:
        polygon: [[x, y], …] along the edges of its pixels, not closed: a pixel (x, y) is the square from (x, y) to
            (x + 1, y + 1).
        holes: of what it encloses, in the same form.
        area: pixels.
    """

    polygon: Ring
    holes: list[Ring]
    area: int


def outlines(mask: ObjectMask, simplify: float = 0) -> list[Outline]:
    """Return the parts of an object in reading order, as valid polygons.

    Without `simplify` they enclose exactly its pixels. With it corners are dropped that lie no farther than so many
    pixels from what is left; no ring crosses itself or another.
    """
    if mask.box is None:
        return []
    inside = mask.inside.view(np.uint8)
    place = Affine.translation(mask.box.x0, mask.box.y0)
    # Of four connected pixels GDAL makes rings that are simple, holes that touch them included.
    rings = (part["coordinates"] for part, _ in shapes(inside, mask=mask.inside, connectivity=4, transform=place))
    found = [Polygon(shell, holes) for shell, *holes in rings]
    found.sort(key=lambda part: (part.bounds[1], part.bounds[0], part.bounds[3], part.bounds[2]))
    drawn = [_simplified(part, simplify) for part in found] if simplify else found
    return [
        Outline(_ring(part.exterior), [_ring(hole) for hole in part.interiors], round(exact.area))
        for part, exact in zip(drawn, found, strict=True)
    ]


def _simplified(part: Polygon, simplify: float) -> Polygon:
    simpler = part.simplify(simplify, preserve_topology=True)
    return simpler if isinstance(simpler, Polygon) else part


def _ring(ring: LinearRing) -> Ring:
    corners = shapely.get_coordinates(ring)[:-1].astype(int).tolist()
    return [[x, y] for x, y in corners]
