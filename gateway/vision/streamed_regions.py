"""Regions of a label map that comes in bands: a building is one region however many bands it lies across."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from gateway.vision.regions import Region, Ring, regions, regions_of

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
        self.cut = 0

    def add(self, labels: UInt8, sureness: UInt8) -> list[Region]:
        """Take the rows that follow and return the regions that have ended above the last of them.

        Args:
            labels: uint8 (rows, width), at least one row; 0 is background.
            sureness: uint8 (rows, width), 255 is certainty.
        """
        if self._labels is not None and self._sureness is not None:
            labels, sureness = np.vstack([self._labels, labels]), np.vstack([self._sureness, sureness])
        if not labels.any():
            self._top += len(labels)
            self._labels = self._sureness = None
            return []
        count, labelled = cv2.connectedComponents(labels, connectivity=8, ltype=cv2.CV_32S)
        components = np.asarray(labelled, np.int32)
        is_open = self._open(components, count)
        first_row, ended = _top(components, is_open), labels
        going_on = first_row < len(labels)
        if going_on:
            inside = is_open[components[first_row:]]
            held = labels[first_row:] * inside
            ended = np.concatenate([labels[:first_row], labels[first_row:] * ~inside])
        found = [
            _lowered(region, self._top)
            for region in regions_of(ended, sureness, components, count, min_area=self._min_area)
        ]
        self._top += first_row
        self._labels, self._sureness = (held, sureness[first_row:].copy()) if going_on else (None, None)
        return found

    def finish(self) -> list[Region]:
        """Return the regions that the last row ends."""
        if self._labels is None or self._sureness is None:
            return []
        found = regions(self._labels, self._sureness, min_area=self._min_area)
        self._labels = self._sureness = None
        return [_lowered(region, self._top) for region in found]

    def _open(self, components: Int32, count: int) -> Mask:
        """Return which of `count` components may go on below the last row, bool (count,)."""
        is_open = np.zeros(count, np.bool_)
        is_open[components[-1]] = True
        is_open[0] = False
        too_tall = np.zeros(count, np.bool_)
        too_tall[components[: max(0, len(components) - self._tallest)]] = True
        self.cut += int(np.count_nonzero(is_open & too_tall))
        return is_open & ~too_tall


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
