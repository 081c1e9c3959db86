"""Regions of a label map that comes in bands: a building is one region however many bands it lies across."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from gateway.vision.regions import Region, Ring, regions

UInt8 = npt.NDArray[np.uint8]

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
        held, first_row = self._open_rows(labels)
        ended = labels.copy()
        ended[first_row:][held > 0] = 0
        found = self._regions(ended, sureness)
        self._top += first_row
        self._labels, self._sureness = (held, sureness[first_row:].copy()) if len(held) else (None, None)
        return found

    def finish(self) -> list[Region]:
        """Return the regions that the last row ends."""
        if self._labels is None or self._sureness is None:
            return []
        found = self._regions(self._labels, self._sureness)
        self._labels = self._sureness = None
        return found

    def _open_rows(self, labels: UInt8) -> tuple[UInt8, int]:
        """Return what may go on below the last row, alone in its rows, and the first of these rows."""
        if not labels[-1].any():
            return labels[:0], len(labels)
        count, components = cv2.connectedComponents(labels, connectivity=8, ltype=cv2.CV_32S)
        reaching = np.zeros(count, np.bool_)
        reaching[components[-1]] = True
        reaching[0] = False
        beginning = components[: max(0, len(labels) - self._tallest)]
        too_tall = reaching & np.isin(np.arange(count), beginning)
        self.cut += int(np.count_nonzero(too_tall))
        is_open = (reaching & ~too_tall)[components]
        rows = np.flatnonzero(is_open.any(axis=1))
        first_row = int(rows[0]) if rows.size else len(labels)
        return labels[first_row:] * is_open[first_row:], first_row

    def _regions(self, labels: UInt8, sureness: UInt8) -> list[Region]:
        return [_lowered(region, self._top) for region in regions(labels, sureness, min_area=self._min_area)]


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
