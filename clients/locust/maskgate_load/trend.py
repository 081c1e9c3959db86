"""Whether something grows: a line that outliers cannot turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

_MOST_POINTS = 400
"""More are thinned out: the pairs of points are their square."""


@dataclass(frozen=True)
class Trend:
    """A slope, and between which two it lies.

    Attributes:
        slope: the median over all pairs of points.
        low: the end of the interval below it, at a confidence of 95 % where points are independent of each other.
        high: the end above it.
    """

    slope: float
    low: float
    high: float


def theil_sen(x: Sequence[float], y: Sequence[float]) -> Trend | None:
    """Return the slope of `y` over `x` by Theil and Sen; None where fewer than three points differ in `x`.

    Up to 29 % of the points may be anything. The interval is Sen's (J. Am. Stat. Assoc. 63, 1968, 1379), by the normal
    approximation of Kendall's score, without ties. What wanders about, as memory does, has a wider one: ask besides
    how large the slope is.
    """
    every = -(-len(x) // _MOST_POINTS) or 1
    xs, ys = np.asarray(x, float)[::every], np.asarray(y, float)[::every]
    first, second = np.triu_indices(len(xs), 1)
    apart = xs[second] != xs[first]
    first, second = first[apart], second[apart]
    if len(np.unique(xs)) < 3:
        return None
    slopes = np.sort((ys[second] - ys[first]) / (xs[second] - xs[first]))
    n = len(xs)
    score = NormalDist().inv_cdf(0.975) * (n * (n - 1) * (2 * n + 5) / 18) ** 0.5
    low, high = (round((len(slopes) + sign * score) / 2) for sign in (-1, 1))
    return Trend(float(np.median(slopes)), float(slopes[max(0, low - 1)]), float(slopes[min(len(slopes) - 1, high)]))
