"""Times, counted so that percentiles of millions of them fit into a few hundred numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

_GROWTH = math.log(1.02)
_LEAST = 1e-5


class Histogram:
    """Seconds in buckets of which each is 2 % wider than the one before: percentiles are right to 1 %.

    Attributes:
        count: how many.
        largest: the longest of them, exactly; 0 without any.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        """Count one time; what is below 10 µs counts as that."""
        self._buckets[math.floor(math.log(max(seconds, _LEAST) / _LEAST) / _GROWTH)] += 1
        self.count += 1
        self.largest = max(self.largest, seconds)

    def merge(self, other: Histogram) -> None:
        """Count all that `other` counted."""
        self._buckets.update(other._buckets)
        self.count += other.count
        self.largest = max(self.largest, other.largest)

    def quantile(self, share: float) -> float | None:
        """Return the time that `share` (0 to 1) of all do not exceed, None without any."""
        if not self.count:
            return None
        rank, seen = max(1, math.ceil(share * self.count)), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(self.largest, _LEAST * math.exp((bucket + 0.5) * _GROWTH))
        raise AssertionError("the buckets hold what was counted")

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"largest": self.largest, "buckets": {str(bucket): n for bucket, n in sorted(self._buckets.items())}}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Histogram:
        """Return a histogram as it was written."""
        histogram = cls()
        histogram._buckets = Counter({int(bucket): n for bucket, n in read["buckets"].items()})
        histogram.count = histogram._buckets.total()
        histogram.largest = read["largest"]
        return histogram
