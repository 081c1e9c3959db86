"""Whether a gateway's memory grows while it is used: fits over what was seen, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from maskgate_load.watch import Sample

_WARM_UP = 0.25
_WINDOW = 0.5
_PER = 1000
_MOST_POINTS = 400
"""More are thinned out: the pairs of points are their square."""


@dataclass(frozen=True)
class Trend:
    """A slope, and the ends of the interval about it: of 95 % where points are independent of each other."""

    slope: float
    low: float
    high: float


@dataclass(frozen=True)
class Growth:
    """What a soak showed. Slopes are MiB resident per 1,000 requests.

    Attributes:
        requests: how many were answered while it was watched.
        sessions: click sessions ended among them.
        rss_mib: at the end.
        whole: over all but the first quarter of the requests, in which caches and arenas fill; None: too short to say.
        latest: over the later half; what only warms up slowly is flat there.
        anonymous: as `whole`, of the memory that no file is behind.
        grows: both slopes are above the tolerance with 95 % confidence.
    """

    requests: int
    sessions: int
    rss_mib: float
    whole: Trend | None
    latest: Trend | None
    anonymous: Trend | None
    grows: bool


def verdict(samples: Sequence[Sample], tolerance: float) -> Growth | None:
    """Return what samples show, None where no memory was seen.

    Args:
        samples: in order, with memory.
        tolerance: slopes up to this are not told from zero, in MiB per 1,000 requests: memory wanders by itself.
    """
    seen = [sample for sample in samples if sample.rss_mib is not None]
    if not seen:
        return None
    first, last = seen[0], seen[-1]
    whole, latest = _trend(seen, _WARM_UP), _trend(seen, _WINDOW)
    return Growth(
        round(last.requests - first.requests),
        round(last.sessions - first.sessions),
        last.rss_mib or 0.0,
        whole,
        latest,
        _trend(seen, _WARM_UP, anonymous=True),
        all(trend is not None and trend.low > tolerance for trend in (whole, latest)),
    )


def told(found: Growth) -> str:
    """Return a line about it."""
    slopes = ", ".join(
        f"{name} {_slope(trend)}" for name, trend in (("slope", found.whole), ("of the later half", found.latest))
    )
    return (
        f"{found.requests:>9,} requests {found.sessions:>7,} sessions {found.rss_mib:>9,.1f} MiB"
        f"   {slopes}   (MiB per 1,000 requests)"
    )


def _trend(seen: Sequence[Sample], without: float, *, anonymous: bool = False) -> Trend | None:
    """Return the slope over all but the first share of the requests."""
    begin = seen[0].requests + without * (seen[-1].requests - seen[0].requests)
    kept = [sample for sample in seen if sample.requests >= begin]
    memory = [(one.anonymous_mib if anonymous else one.rss_mib) or 0.0 for one in kept]
    return theil_sen([one.requests / _PER for one in kept], memory)


def theil_sen(x: Sequence[float], y: Sequence[float]) -> Trend | None:
    """Return the slope of `y` over `x` by Theil and Sen; None where fewer than three points differ in `x`.

    Up to 29 % of the points may be anything. The interval is Sen's. What wanders about, as memory does, has a wider
    one: ask besides how large the slope is.
    """
    every = -(-len(x) // _MOST_POINTS) or 1
    if len(np.unique(x[::every])) < 3:
        return None
    found = theilslopes(y[::every], x[::every])
    return Trend(float(found.slope), float(found.low_slope), float(found.high_slope))


def _slope(trend: Trend | None) -> str:
    return "too short to say" if trend is None else f"{trend.slope:+.3f} [{trend.low:+.3f}, {trend.high:+.3f}]"
