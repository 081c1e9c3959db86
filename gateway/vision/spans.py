"""Which pixels polygons hold, row by row, however they lie over each other.

A pixel is a polygon's if its centre is inside, by the even-odd rule. Rows are worked on a few at a time: what is held
follows the outlines, and not the area.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Crossings of outlines and rows that are worked on at once, and pixels.
_AT_ONCE = 1 << 20
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Spans:
    """Pixels of polygons, as stretches of rows, all int64 (n,).

    Attributes:
        polygon: number of the polygon.
        row: counted from the first of the image.
        start: first pixel.
        stop: the one after the last, greater than `start`.
    """

    polygon: Int64
    row: Int64
    start: Int64
    stop: Int64

    def pixels(self, width: int, top: int) -> Iterator[tuple[Int64, Int64]]:
        """Yield each pixel of each span, as polygons and as places in rows of `width` pixels counted from row `top`."""
        lengths = self.stop - self.start
        ends = np.cumsum(lengths)
        first = 0
        while first < len(lengths):
            last = max(first + 1, int(np.searchsorted(ends, ends[first] - lengths[first] + _AT_ONCE, "right")))
            part, own = slice(first, last), lengths[first:last]
            begins = (self.row[part] - top) * width + self.start[part]
            yield np.repeat(self.polygon[part], own), _counted_up(begins, own)
            first = last


class Outlines:
    """The edges of polygons on an image.

    Args:
        edges: float64 (n, 4), x0, y0, x1, y1 of each, in pixels from the top left corner of the first pixel; those of a
            polygon close, those of its holes too.
        polygon: int64 (n,), the number of the polygon of each.
        height: of the image.
        width: of the image.

    Attributes:
        crossings: of edges and rows of the image: what all `spans` take to be found.
    """

    def __init__(self, edges: Float64, polygon: Int64, height: int, width: int) -> None:
        """Find the rows that each edge crosses."""
        y = edges[:, [1, 3]]
        # Centres of rows that lie between, the lower end left out so that corners count once.
        first = np.ceil(y.min(axis=1) - _HALF).clip(0, height).astype(np.int64)
        last = np.ceil(y.max(axis=1) - _HALF).clip(0, height).astype(np.int64)
        crossing = last > first
        self._edges, self._polygon = edges[crossing], polygon[crossing]
        self._first, self._last = first[crossing], last[crossing]
        self._width = width
        change = np.zeros(height + 1, np.int64)
        np.add.at(change, self._first, 1)
        np.add.at(change, self._last, -1)
        # Up to each row: crossings of all rows above it.
        self._above = np.concatenate([[0], np.cumsum(np.cumsum(change)[:height])])
        self.crossings = int(self._above[-1])

    def spans(self, top: int, stop: int) -> Iterator[Spans]:
        """Yield the spans of the rows from `top` to before `stop`, from top to bottom; in a row polygon by polygon."""
        while top < stop:
            most = int(np.searchsorted(self._above, self._above[top] + _AT_ONCE, "right")) - 1
            end = min(stop, max(top + 1, most))
            if self._above[end] > self._above[top]:
                yield self._between(top, end)
            top = end

    def _between(self, top: int, stop: int) -> Spans:
        own = np.flatnonzero((self._first < stop) & (self._last > top))
        first, last = self._first[own].clip(top), self._last[own].clip(max=stop)
        edge = np.repeat(own, last - first)
        row = _counted_up(first, last - first)
        x0, y0, x1, y1 = self._edges[edge].T
        x = x0 + (row + _HALF - y0) * ((x1 - x0) / (y1 - y0))
        # The first pixel whose centre is not left of the crossing.
        column = np.ceil(x - _HALF).clip(0, self._width).astype(np.int64)
        polygon = self._polygon[edge]
        order = np.lexsort((column, polygon, row))
        # Outlines close: crossings of a row come in pairs.
        begin, end = order[::2], order[1::2]
        filled = column[end] > column[begin]
        begin, end = begin[filled], end[filled]
        return Spans(polygon[begin], row[begin], column[begin], column[end])


def _counted_up(begins: Int64, lengths: Int64) -> Int64:
    """Return begin, begin + 1, … of each of `begins`, so many as `lengths` has, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) + np.repeat(begins - (ends - lengths), lengths), np.int64)
