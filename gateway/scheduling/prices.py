"""What requests are going to cost, learnt from those that were served."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["byte", "item", "request"]
"""What a price is per: a byte of the body; an item of what the task counts, once headers are read; or a request."""

# So many requests say what one of their kind costs; fewer say nothing, and one of them may have met cold caches.
_FEW = 5
# Weight of what was known against the next request: some twenty of them are remembered.
_KEEP = 0.95
# A request counts for no more, and no less, than so many times what was predicted of it.
_MOST = 4.0
# Deviations from the mean that few requests pass, and the largest share by which that raises a price.
_DEVIATIONS, _LARGEST_SPREAD = 3.0, 1.0
# What no request confirms is believed ever less: else a kind that was slow once could be refused for ever.
_HALF_LIFE = 60.0


@dataclass(frozen=True)
class Kind:
    """Requests that are priced alike.

    Attributes:
        task: as metrics name it.
        what: name of the model, the tool or the ensemble; of a session, what is done in it.
        unit: what is priced before the body is read.
    """

    task: str
    what: str
    unit: Unit = "byte"


@dataclass(frozen=True)
class Price:
    """Predicted seconds of work.

    Attributes:
        seconds: on average. Sums of it predict how long many take.
        ample: what few take longer than. It says whether one is done in time.
    """

    seconds: float = 0.0
    ample: float = 0.0


class Prices:
    """Moving estimates of seconds per unit, for each kind of request. Lives on the event loop.

    What is unknown costs nothing: nobody is refused for what was not measured.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet."""
        self._clock = clock
        self._rates: dict[tuple[str, str, Unit], _Rate] = {}

    def predict(self, kind: Kind, unit: Unit, amount: float) -> Price:
        """Return what a request of a kind with `amount` units will cost."""
        rate = self._rates.get((kind.task, kind.what, unit))
        return Price() if rate is None else rate.price(amount, self._clock())

    def learn(self, kind: Kind, unit: Unit, amount: float, seconds: float) -> None:
        """Take in that a request of a kind with `amount` units took `seconds`."""
        if amount > 0 and seconds > 0:
            self._rates.setdefault((kind.task, kind.what, unit), _Rate()).learn(amount, seconds, self._clock())


class _Rate:
    """Seconds per unit of one kind: the ratio of decaying sums, so that large requests count for more than small ones.

    It begins with the median of the first requests.
    """

    def __init__(self) -> None:
        self._first: list[tuple[float, float]] = []
        self._amount = self._seconds = self._deviation = self._heard = 0.0

    def price(self, amount: float, now: float) -> Price:
        if len(self._first) < _FEW:
            return Price()
        faded = 0.5 ** (max(0.0, now - self._heard) / _HALF_LIFE)
        seconds = amount * self._seconds / self._amount * faded
        spread = min(_DEVIATIONS * self._deviation / self._seconds, _LARGEST_SPREAD)
        return Price(seconds, seconds * (1 + spread))

    def learn(self, amount: float, seconds: float, now: float) -> None:
        self._heard = now
        if len(self._first) < _FEW:
            self._first.append((amount, seconds))
            if len(self._first) == _FEW:
                self._begin()
            return
        rate = self._seconds / self._amount
        seen = min(max(seconds / amount, rate / _MOST), rate * _MOST)
        self._amount = _KEEP * self._amount + amount
        self._seconds = _KEEP * self._seconds + amount * seen
        self._deviation = _KEEP * self._deviation + amount * abs(seen - rate)

    def _begin(self) -> None:
        rate = statistics.median(seconds / amount for amount, seconds in self._first)
        deviation = statistics.median(abs(seconds / amount - rate) for amount, seconds in self._first)
        self._amount = sum(amount for amount, _ in self._first)
        self._seconds, self._deviation = self._amount * rate, self._amount * deviation
