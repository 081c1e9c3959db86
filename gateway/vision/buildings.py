"""Buildings one by one: found in a mask, cut out of an image, and filled with what was said of each.

A mask may come in bands: rows are final when all that stands in them is graded. A model that grades one building sees
the same crop in training as when it is served.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gateway.vision.streamed_regions import split_open

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Box = Sequence[float]
"""x0, y0, x1, y1 in pixels, origin top left; x1 and y1 are exclusive. Fractions of pixels are taken too."""

SMALLEST_BUILDING = 25
"""Regions of fewer pixels are listed as no building and graded as none: 2.5 m square at xBD's half metre."""

TALLEST = 1024
"""Rows over which a region is waited for, half a kilometre at half a metre."""


@dataclass(frozen=True)
class Buildings:
    """The buildings of a mask, in reading order of their first pixels.

    Attributes:
        components: int32 (H, W); every region of the mask has a number of its own, the rest is 0.
        numbers: int32 (n,), those of buildings; the others are too small to be one.
        boxes: int32 (n, 4), the building's box, as `Box`.
    """

    components: Int32
    numbers: Int32
    boxes: Int32

    def graded(self, scores: npt.NDArray[np.float32]) -> UInt8:
        """Return the label map, uint8 (H, W), of scores (n, grades): the likeliest grade plus 1; the rest is 0."""
        return self.filled((scores.argmax(axis=1) + 1).astype(np.uint8))

    def filled(self, values: UInt8) -> UInt8:
        """Return uint8 (H, W) in which every building has the value that `values`, (n,), gives it; the rest is 0."""
        table = np.zeros(int(self.components.max()) + 1, np.uint8)
        table[self.numbers] = values
        return table[self.components]

    def merged(self, scores: npt.NDArray[np.float32], mask: UInt8, sureness: UInt8) -> tuple[UInt8, UInt8]:
        """Return the label map of `graded`, and how sure both are of it who found the buildings and who graded them.

        Args:
            scores: float32 (n, grades), 0–1.
            mask: uint8 (H, W), the one that they were found in.
            sureness: uint8 (H, W), 255 times the probability that the mask is right.

        Returns:
            uint8 (H, W) twice. The second is the product of both probabilities where there is a building, elsewhere
            that of background.
        """
        labels = self.graded(scores)
        graded = self.filled(np.rint(255 * scores.max(axis=1, initial=0)).astype(np.uint8))
        inside = labels > 0
        # What is too small to be graded was found to be a building, and is called background all the same.
        merged = np.where((mask > 0) & ~inside, 255 - sureness, sureness)
        merged[inside] = (merged[inside].astype(np.uint16) * graded[inside] + 127) // 255
        return labels, merged


def find_buildings(mask: UInt8, min_area: int = SMALLEST_BUILDING) -> Buildings:
    """Return the 8-connected regions above 0 of a mask, uint8 (H, W), that have so many pixels at least."""
    _, labelled, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    statistics[0, cv2.CC_STAT_AREA] = 0  # the background
    numbers = np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] >= max(1, min_area)).astype(np.int32)
    corner = statistics[numbers][:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    size = statistics[numbers][:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return Buildings(np.asarray(labelled, np.int32), numbers, np.concatenate([corner, corner + size], axis=1))


def cut_crops(image: UInt8, boxes: Iterable[Box], grow: float, size: int) -> UInt8:
    """Return a crop around each box, uint8 (n, size, size, 3); see `cut_crop`."""
    return np.stack([cut_crop(image, box, grow, size) for box in boxes])


def cut_crop(image: UInt8, box: Box, grow: float, size: int) -> UInt8:
    """Return what an image shows in and around a box, stretched to a square.

    Args:
        image: uint8 (H, W, 3); beyond its border it is mirrored.
        box: the building.
        grow: added on each side, as a share of that side's length.
        size: side of the crop in pixels.

    Returns:
        uint8 (size, size, 3): averaged where the box is much larger than that, else bilinear.
    """
    left, top, width, height = _grown(box, grow)
    # Only what the crop shows is averaged: no crop costs more than the image's own pixels.
    down, across = crop_window(box, grow, image.shape[:2])
    x, y, shown = across.start, down.start, image[down, across]
    rows, columns = shown.shape[:2]
    factor = int(min(width, height) // size)
    if factor > 1:
        smaller = (math.ceil(columns / factor), math.ceil(rows / factor))
        shown = cv2.resize(shown, smaller, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    per_column, per_row = shown.shape[1] / columns, shown.shape[0] / rows
    step_x, step_y = width / size * per_column, height / size * per_row
    # Centres of pixels lie at halves.
    first_x, first_y = (left - x) * per_column + step_x / 2 - 0.5, (top - y) * per_row + step_y / 2 - 0.5
    transform = np.array([[step_x, 0, first_x], [0, step_y, first_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(shown, transform, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(crop, np.uint8)


def crop_window(box: Box, grow: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of an image of `shape` (height, width) that `cut_crop` looks at, no others.

    The crop of these alone, with the box counted from where they begin, is the same.
    """
    left, top, width, height = _grown(box, grow)
    return _between(top, height, shape[0]), _between(left, width, shape[1])


def _grown(box: Box, grow: float) -> tuple[float, float, float, float]:
    """Return left, top, width and height of what a crop shows."""
    x0, y0, x1, y1 = box
    width, height = (x1 - x0) * (1 + 2 * grow), (y1 - y0) * (1 + 2 * grow)
    return (x0 + x1 - width) / 2, (y0 + y1 - height) / 2, width, height


def _between(start: float, length: float, side: int) -> slice:
    return slice(max(0, math.floor(start) - 1), min(side, math.ceil(start + length) + 1))


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
