"""Chest films on the grid of their networks, class scores decided, and evidence brought back onto the film.

Training and serving share these functions, so that a network is asked what it was taught.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]


def to_square(film: UInt8, size: int) -> UInt8:
    """Return a film (H, W) as a square (size, size), the aspect not kept.

    Averaged where every side shrinks, bilinear else. The paper takes OpenCV's default, bilinear, of films of its own
    data set's size; of a detector's 3000 pixels that would skip all but one in thirteen.
    """
    interpolation = cv2.INTER_AREA if min(film.shape) >= size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(film, (size, size), interpolation=interpolation), np.uint8)


def to_tile(film: UInt8, size: int) -> UInt8:
    """Return a film as its networks take it: a square, grey replicated.

    Args:
        film: uint8 (H, W), grey, bone bright.
        size: side of the square.

    Returns:
        uint8 (size, size, 3), RGB.
    """
    return np.asarray(cv2.cvtColor(to_square(film, size), cv2.COLOR_GRAY2RGB), np.uint8)


def decided_class(scores: Float64, threshold: float) -> int:
    """Return the class that scores speak for: 0 where its own reaches the threshold, else the highest of the others.

    Args:
        scores: (C,) probabilities, two classes at least.
        threshold: of class 0, in (0, 1).
    """
    return 0 if scores[0] >= threshold else 1 + int(np.argmax(scores[1:]))


def mean_evidence(maps: Sequence[UInt8], counts: Sequence[int], height: int, width: int) -> UInt8:
    """Return evidence maps on a film of (height, width), bilinear, and averaged.

    Args:
        maps: uint8, each (h, w) of its own size and over the whole film.
        counts: how often each counts, 256 times in all at most.
        height: rows of the film.
        width: columns of the film.

    Returns:
        uint8 (height, width), rounded.
    """
    total = np.zeros((height, width), np.uint16)
    for evidence, count in zip(maps, counts, strict=True):
        resized = cv2.resize(np.ascontiguousarray(evidence), (width, height), interpolation=cv2.INTER_LINEAR)
        total += np.asarray(resized, np.uint16) * np.uint16(count)
    every = sum(counts)
    return np.asarray((total + every // 2) // every, np.uint8)
