"""Buildings of a mask that comes in bands, each graded whole: rows are final when all that stands in them is graded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.vision.buildings import find_buildings
from gateway.vision.streamed_regions import split_open

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]

TALLEST = 1024
"""Rows over which a region is waited for, half a kilometre at half a metre."""


class GradeStream:
    """Turns masks into label maps from top to bottom; `add` and `paint` take turns.

    Held are the rows from the top of the uppermost region that may go on; one of more than `tallest` rows so far is
    graded as far as it has come.

    Args:
        width: of the mask.
        tallest: rows that are held at most.

    Attributes:
        cut: how many regions were graded in parts.
    """

    def __init__(self, width: int, tallest: int = TALLEST) -> None:
        """Begin above the first row."""
        self.cut = 0
        self._tallest = tallest
        self._top = 0
        # Of the rows held: regions that may go on, and what is decided of all others.
        self._mask, self._labels, self._sureness = np.zeros((3, 0, width), np.uint8)
        self._ended, self._ended_mask = find_buildings(np.zeros((1, width), np.uint8)), self._mask
        self._first_open = 0

    @property
    def held(self) -> UInt8:
        """The label map of the rows that are not final yet, as far as it is known."""
        return self._labels

    def add(self, mask: UInt8, sureness: UInt8) -> Int32:
        """Take the rows that follow, and return the boxes of the buildings that have ended above the last of them.

        Args:
            mask: uint8 (rows, width), above 0 where buildings were found.
            sureness: uint8 (rows, width), 255 times the probability that the mask is right.

        Returns:
            int32 (n, 4), as `Box`, rows counted from the first of all.
        """
        self._labels = np.concatenate([self._labels, np.zeros_like(mask)])
        self._sureness = np.concatenate([self._sureness, sureness])
        split = split_open(np.concatenate([self._mask, mask]), self._tallest)
        self.cut += split.cut
        self._mask, self._first_open = split.open, split.first_row
        return self._take(split.ended)

    def end(self) -> Int32:
        """Return the boxes of the buildings that the last row ends, as `add` does, where rows are held."""
        mask = np.zeros_like(self._labels)
        mask[len(mask) - len(self._mask) :] = self._mask
        self._mask, self._first_open = mask[:0], len(mask)
        return self._take(mask)

    def paint(self, scores: npt.NDArray[np.float32]) -> tuple[UInt8, UInt8]:
        """Take the scores, float32 (n, grades), of the buildings returned last, and return the rows that are final now.

        Returns:
            uint8 (rows, width) twice, label map and sureness, as `Buildings.merged` has them; perhaps no rows.
        """
        labels, self._sureness = self._ended.merged(scores, self._ended_mask, self._sureness)
        np.maximum(self._labels, labels, out=self._labels)
        final = self._labels[: self._first_open], self._sureness[: self._first_open]
        # Copies, so that what was final is let go.
        self._labels, self._sureness = (
            self._labels[self._first_open :].copy(),
            self._sureness[self._first_open :].copy(),
        )
        self._top += self._first_open
        return final

    def _take(self, ended: UInt8) -> Int32:
        self._ended, self._ended_mask = find_buildings(ended), ended
        return np.asarray(self._ended.boxes + np.array([0, self._top, 0, self._top]), np.int32)
