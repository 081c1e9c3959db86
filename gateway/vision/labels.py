"""From class probabilities to the label map, and what is read off them.

`decide` is the rule that the exported graphs carry too; where tiles were blended it runs again here,
on the blended probabilities.
"""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]


def decide(probabilities: UInt8, threshold: float | None) -> UInt8:
    """Return the label value of every pixel.

    Args:
        probabilities: uint8, (..., C), C ≥ 2; 255 is certainty. Value 0 is background.
        threshold: None takes the likeliest value. A number t in (0, 1) takes background unless the
            probabilities of the other values sum to at least t, and then the likeliest of those.

    Returns:
        uint8, (...). Of equally likely values the lowest wins, as with argmax.
    """
    return decide_with_confidence(probabilities, threshold)[0]


def decide_with_confidence(probabilities: UInt8, threshold: float | None) -> tuple[UInt8, UInt8]:
    """Return what `decide` does, and the probability given to each pixel's own label value, uint8, (...).

    Args:
        probabilities: as of `decide`.
        threshold: as of `decide`.
    """
    planes = _planes(probabilities)
    if threshold is None:
        labels, chosen = _likeliest(planes)
    else:
        labels, chosen = _likeliest(planes[1:])
        labels += 1
        foreground = planes[1:].sum(axis=0, dtype=np.uint16)
        # The small slack keeps t = k/255, not exactly representable, from asking for k + 1.
        shown = foreground >= ceil(255 * threshold - 1e-6)
        labels *= shown
        # By arithmetic, many pixels at a time: np.where takes them one by one, and more than twice as long.
        chosen *= shown
        chosen += planes[0] * ~shown
    shape = probabilities.shape[:-1]
    return labels.reshape(shape), chosen.reshape(shape)


def both_views(first: UInt8, second: UInt8) -> UInt8:
    """Return what a model says of tiles that it saw twice, and where it contradicts itself.

    Args:
        first: uint8, (..., C), probabilities.
        second: the same of the tiles as mirrors show them, mirrored back.

    Returns:
        uint8, (..., C + 1): their means, and last 255 times half the sum of their differences, which is the total
        variation distance.
    """
    a, b = first.astype(np.int16), second.astype(np.int16)
    differences = (np.abs(a - b).sum(axis=-1, keepdims=True) // 2).clip(max=255)
    return np.concatenate([(a + b + 1) // 2, differences], axis=-1).astype(np.uint8)


def averaged(values: UInt8) -> UInt8:
    """Return a map of half the size, uint8 (⌈H/2⌉, ⌈W/2⌉): of each square of four the mean of those above 0."""
    rows, columns = len(values) % 2, values.shape[1] % 2
    if rows or columns:
        values = np.pad(values, ((0, rows), (0, columns)))
    quarters = [values[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    total = np.sum(quarters, axis=0, dtype=np.uint16)
    there = np.sum([quarter > 0 for quarter in quarters], axis=0, dtype=np.uint16)
    return np.asarray((total + there // 2) // np.maximum(there, 1), np.uint8)


def class_counts(label_map: UInt8, classes: int) -> npt.NDArray[np.int64]:
    """Return how many pixels carry each value 0 … classes − 1, int64, (classes,).

    Counts of bands add up to the count of the whole. Values of `classes` and above are left out.
    """
    # np.bincount would first copy the map to eight bytes a pixel; comparing bytes is faster for a few classes.
    return np.array([np.count_nonzero(label_map == value) for value in range(classes)], dtype=np.int64)


def halved(labels: UInt8) -> UInt8:
    """Return a label map of half the size, uint8 (⌈H/2⌉, ⌈W/2⌉): of each square of four the value most of them have.

    Of equally many it is that of the first, row by row.
    """
    rows, columns = len(labels) % 2, labels.shape[1] % 2
    if rows or columns:
        labels = np.pad(labels, ((0, rows), (0, columns)), "edge")
    a, b, c, d = (np.ascontiguousarray(labels[y::2, x::2]) for y in (0, 1) for x in (0, 1))
    result = np.where(c == d, c, a)
    np.copyto(result, b, where=(b == c) | (b == d))
    np.copyto(result, a, where=(a == b) | (a == c) | (a == d))
    return result


def _planes(probabilities: UInt8) -> UInt8:
    """Return one contiguous plane per class, (C, pixels): loops over bytes of one plane use SIMD, argmax does not."""
    return np.asarray(cv2.transpose(probabilities.reshape(-1, probabilities.shape[-1])), np.uint8)


def _likeliest(planes: UInt8) -> tuple[UInt8, UInt8]:
    """Return the argmax over the first axis, first of equals, and the maximum, uint8, (pixels,) each."""
    labels = np.zeros(planes.shape[1], np.uint8)
    best = planes[0].copy()
    for value, plane in enumerate(planes[1:], start=1):
        better = plane > best
        # `value` exceeds every label so far, so that the maximum overwrites exactly where it is better.
        np.maximum(labels, better * np.uint8(value), out=labels)
        np.maximum(best, plane, out=best)
    return labels, best
