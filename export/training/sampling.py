"""How often samples of unlike sources are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
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
