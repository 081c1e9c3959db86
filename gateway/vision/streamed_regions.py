"""Regions of a label map that comes in bands: a building is one region however many bands it lies across."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from gateway.vision.regions import Known, Region, Ring, regions, regions_of

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

TALLEST = 2048
"""Rows over which a region is kept open, a kilometre at half a metre: nothing that tall is a building."""


class RegionStream:
    """Finds the regions of a label map from top to bottom, each as soon as it has ended.

    Held are the rows from the top of the uppermost region that may go on, so that memory follows the width of the map
    and not its area. A region of more than `tallest` rows so far ends there, and what follows below is another.

    Args:
        min_area: regions of fewer pixels are left out.
        tallest: rows that are held at most.

    Attributes:
        cut: how many regions were cut.
    """

    def __init__(self, min_area: int = 1, tallest: int = TALLEST) -> None:
        """Begin above the first row."""
        self._min_area = min_area
        self._tallest = tallest
        self._top = 0
        self._labels: UInt8 | None = None
        self._sureness: UInt8 | None = None
        self._known: Sequence[Known] | None = None
        self.cut = 0

    def add(self, labels: UInt8, sureness: UInt8, known: Sequence[Known] | None = None) -> list[Region]:
        """Take the rows that follow and return the regions that have ended above the last of them.

        Args:
            labels: uint8 (rows, width), at least one row; 0 is background.
            sureness: uint8 (rows, width), 255 is certainty.
            known: as of `regions`, of these rows; None with all of them or with none.
        """
        if self._labels is not None and self._sureness is not None:
            if self._known is not None and known is not None:
                known = [*self._known, *(part.moved(self._labels.size) for part in known)]
            labels, sureness = np.vstack([self._labels, labels]), np.vstack([self._sureness, sureness])
        if not labels.any():
            self._top += len(labels)
            self._labels = self._sureness = self._known = None
            return []
        split = split_open(labels, self._tallest)
        self.cut += split.cut
        self._known = None
        first_row, width, going_on = split.first_row, labels.shape[1], split.first_row < len(labels)
        del labels
        if known is not None and going_on:
            ended = split.ended.reshape(-1)
            going = (part.some(ended.take(part.places) == 0) for part in known)
            self._known = [part.moved(-first_row * width) for part in going if len(part.places)]
        whole = regions_of(split.ended, sureness, split.components, split.count, min_area=self._min_area, known=known)
        found = [_lowered(region, self._top) for region in whole]
        self._top += first_row
        self._labels, self._sureness = (split.open, sureness[first_row:].copy()) if going_on else (None, None)
        return found

    def finish(self) -> list[Region]:
        """Return the regions that the last row ends."""
        if self._labels is None or self._sureness is None:
            return []
        found = regions(self._labels, self._sureness, min_area=self._min_area, known=self._known)
        self._labels = self._sureness = self._known = None
        return [_lowered(region, self._top) for region in found]


@dataclass(frozen=True)
class Split:
    """The regions of some rows: those that have ended, and those that may go on below the last row.

    Attributes:
        components: int32 (rows, width), a number for each region.
        count: of these numbers.
        ended: uint8 (rows, width), the label map without those that may go on.
        first_row: the first row of those; the number of rows where there are none.
        open: uint8 (rows − first_row, width), the label map of those alone.
        cut: how many were taken for ended because they are too tall.
    """

    components: Int32
    count: int
    ended: UInt8
    first_row: int
    open: UInt8
    cut: int


def split_open(labels: UInt8, tallest: int) -> Split:
    """Return the regions above 0 of a label map, uint8 (rows, width), that goes on below.

    Args:
        labels: at least one row.
        tallest: rows from which a region is taken for ended that reaches the last one.
    """
    count, labelled = cv2.connectedComponents(labels, connectivity=8, ltype=cv2.CV_32S)
    components = np.asarray(labelled, np.int32)
    reaching, too_tall = np.zeros((2, count), np.bool_)
    reaching[components[-1]] = True
    reaching[0] = False
    too_tall[components[: max(0, len(labels) - tallest)]] = True
    is_open = reaching & ~too_tall
    first_row, ended = _top(components, is_open), labels
    inside = is_open[components[first_row:]]
    if len(inside):
        ended = np.concatenate([labels[:first_row], labels[first_row:] * ~inside])
    cut = int(np.count_nonzero(reaching & too_tall))
    return Split(components, count, ended, first_row, labels[first_row:] * inside, cut)


def _top(components: Int32, is_open: Mask) -> int:
    """Return the first row of those components that are open, all of which reach the last one."""
    # Rows of connected pixels follow each other: above a row that has none of them there are no more.
    for row in range(len(components) - 1, -1, -1):
        if not is_open[components[row]].any():
            return row + 1
    return 0


def _lowered(region: Region, rows: int) -> Region:
    """Return the region so many rows farther down."""

    def ring(points: Ring) -> Ring:
        return [[x, y + rows] for x, y in points]

    x0, y0, x1, y1 = region.box
    return replace(
        region,
        polygon=ring(region.polygon),
        holes=[ring(hole) for hole in region.holes],
        box=(x0, y0 + rows, x1, y1 + rows),
    )
