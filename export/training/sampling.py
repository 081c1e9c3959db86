"""How samples are drawn: how often those of unlike sources, and all of a step.

A sample depends on nothing but the seed, the step and its number in the step. So a resumed run continues with exactly
the samples that it would have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


def shares(sources: Sequence[str], balance: float) -> NDArray[np.float64]:
    """Return the probability of each sample to be drawn, (N,).

    Args:
        sources: of each sample.
        balance: 0 draws every sample alike, 1 every source; between them a source's share is its number of samples to
            the power of 1 − `balance`.
    """
    counts = Counter(sources)
    weights = np.array([counts[source] ** -balance for source in sources], np.float64)
    return np.asarray(weights / weights.sum(), np.float64)


def shares_of_sources(sources: Sequence[str], frequencies: object) -> NDArray[np.float64]:
    """Return the probability of each sample to be drawn, (N,); samples of one source have the same.

    Args:
        sources: of each sample.
        frequencies: has the relative frequency of each source as an attribute of its name.
    """
    weights = np.array([getattr(frequencies, source) / sources.count(source) for source in sources], np.float64)
    return np.asarray(weights / weights.sum(), np.float64)


def draw_samples(
    draw: Callable[[Generator], tuple[Any, ...]], seed: int, step: int, count: int
) -> list[tuple[Any, ...]]:
    """Return the samples of a step: for each value that `draw` gives of one, those of all, `count` each."""
    rngs = (np.random.default_rng((seed, step, number)) for number in range(count))
    return list(zip(*map(draw, rngs), strict=True))
