"""A small picture of a large scene and what was found in it, made as its rows come."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]

LONGEST = 2048
"""Longest side of the small picture, in pixels."""


class Quicklook:
    """Averages squares of pixels of a scene, and of its label map keeps the highest value in each.

    So that no building is lost, however small it becomes.

    Args:
        height: of the scene.
        width: of the scene.
        longest: side of the small picture, at most.

    Attributes:
        factor: side of the squares, in pixels of the scene; those at the right and lower border may be cut off.
    """

    def __init__(self, height: int, width: int, longest: int = LONGEST) -> None:
        """Begin an empty picture."""
        self.factor = -(-max(height, width) // longest)
        self._left = height
        self._waiting: list[tuple[UInt8, UInt8]] = []
        self._pictures: list[UInt8] = []
        self._labels: list[UInt8] = []

    def add(self, pixels: UInt8, labels: UInt8) -> None:
        """Take the next rows.

        Args:
            pixels: uint8 (rows, width, 3), RGB.
            labels: uint8 (rows, width), values of which the highest is to be seen.
        """
        self._left -= len(labels)
        self._waiting.append((pixels, labels))
        rows = sum(len(own) for _, own in self._waiting)
        whole = rows if self._left == 0 else rows - rows % self.factor
        if whole == 0:
            return
        pixels, labels = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        # Copies, so that the rows of the scene are let go.
        self._waiting = [(pixels[whole:].copy(), labels[whole:].copy())] if whole < rows else []
        self._pictures.append(self._averaged(pixels[:whole]))
        self._labels.append(self._highest(labels[:whole]))

    def result(self) -> tuple[UInt8, UInt8]:
        """Return the small picture, uint8 (h, w, 3), and label map, uint8 (h, w), when all rows were taken."""
        return np.concatenate(self._pictures), np.concatenate(self._labels)

    def _averaged(self, pixels: UInt8) -> UInt8:
        down, across = (-length % self.factor for length in pixels.shape[:2])
        framed = cv2.copyMakeBorder(pixels, 0, down, 0, across, cv2.BORDER_REPLICATE)
        size = (framed.shape[1] // self.factor, framed.shape[0] // self.factor)
        return np.asarray(cv2.resize(framed, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _highest(self, labels: UInt8) -> UInt8:
        starts = [np.arange(0, length, self.factor) for length in labels.shape]
        across = np.maximum.reduceat(labels, starts[1], axis=1)
        return np.asarray(np.maximum.reduceat(across, starts[0], axis=0))
