"""When requests come: rates over time, and Poisson arrivals at them.

Why our own: a load shape of locust says how many users there are, each of whom asks again when it was answered. A
gateway that gets slow is then asked less, and its latency looks better than callers would find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Literal

Pattern = Literal["steady", "step", "burst", "ramp"]
PATTERNS: tuple[Pattern, ...] = ("steady", "step", "burst", "ramp")

_STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 0.5)
_BURSTS = (0.3, 1.5, 0.3, 2.0, 0.3)


@dataclass(frozen=True)
class Stretch:
    """A part of a load whose rate goes in a straight line.

    Attributes:
        seconds: how long it is.
        begin: arrivals per second at its beginning.
        end: arrivals per second at its end.
    """

    seconds: float
    begin: float
    end: float


Schedule = Sequence[Stretch]


def schedule(pattern: Pattern, rate: float, seconds: float) -> Schedule:
    """Return a load of `seconds`, `rate` arrivals per second being what its pattern is about.

    steady: that rate. step: a quarter of it, half, three quarters, all, half as much again, and half. burst: 0.3 of it
    with bursts of 1.5 and twice the rate. ramp: from nothing to twice the rate, to find where the knee is.

    Raises:
        ValueError: rate or duration is not above zero.
    """
    if rate <= 0 or seconds <= 0:
        raise ValueError("a load has a rate and a duration above zero")
    if pattern == "ramp":
        return [Stretch(seconds, 0.0, 2 * rate)]
    shares = {"steady": (1.0,), "step": _STEPS, "burst": _BURSTS}[pattern]
    return [Stretch(seconds / len(shares), share * rate, share * rate) for share in shares]


def rate_at(load: Schedule, when: float) -> float:
    """Return the arrivals per second at `when` seconds since its beginning, 0 beyond its end."""
    for stretch, end in zip(load, accumulate(stretch.seconds for stretch in load), strict=True):
        if when < end:
            return stretch.end - (end - when) / stretch.seconds * (stretch.end - stretch.begin)
    return 0.0


def arrivals(load: Schedule, rng: Random) -> Iterator[float]:
    """Yield when requests are due, in seconds since the load began: a Poisson process of the load's rate.

    By thinning (Lewis and Shedler): arrivals at its highest rate, of which each stays with the share that its own is.
    """
    highest = max(max(stretch.begin, stretch.end) for stretch in load)
    due, end = 0.0, sum(stretch.seconds for stretch in load)
    while highest > 0 and (due := due + rng.expovariate(highest)) < end:
        if rng.random() * highest < rate_at(load, due):
            yield due


def dispatch(
    times: Iterable[float], launch: Callable[[float], None], clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Call `launch(due)` for each of `times`, all in seconds by `clock`, when it is due and never before.

    Whatever became of earlier ones: one that is late is launched at once, with the time at which it was due.
    """
    for due in times:
        while (wait := due - clock()) > 0:
            sleep(wait)
        launch(due)
