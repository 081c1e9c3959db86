"""How often each tenant may ask: a bucket of requests that fills by the minute, and a bound on those under way.

The header fields are those of draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.access.keys import Caller, Limits
from gateway.errors import QuotaExceeded

Clock = Callable[[], int]

_SECOND = 10**9
_MINUTE = 60 * _SECOND
_RATE, _INFLIGHT = "requests", "inflight"


class Account:
    """What one tenant has asked for. Lives on the event loop, so it needs no lock.

    Its credit is counted in whole numbers, a minute's nanoseconds a request, so that a caller who waits as long as it
    was told is served.

    Args:
        limits: of the tenant.
        clock: nanoseconds, never going back.
    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        """Begin with full credit and nothing under way."""
        self._limits = limits
        self._rate = limits.requests_per_minute or 0
        self._clock = clock
        self._credit = self._rate * _MINUTE
        self._filled = clock()
        self._inflight = 0
        self._mean_seconds = 1.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count one request as under way for as long as the context lasts.

        Raises:
            QuotaExceeded: the tenant has asked as often, or for as much at once, as it may. It then counts for nothing.
        """
        inflight, rate = self._limits.inflight, self._limits.requests_per_minute
        self._fill()
        if inflight is not None and self._inflight >= inflight:
            wait = max(1, min(60, math.ceil(self._mean_seconds / inflight)))
            raise self._exceeded(_INFLIGHT, inflight, f"This key may have {inflight} requests under way at once.", wait)
        if rate is not None and self._credit < _MINUTE:
            raise self._exceeded(_RATE, rate, f"This key may send {rate} requests a minute.", self._seconds_to_next())
        self._spend(_MINUTE)
        self._inflight += 1
        start = self._clock()
        try:
            yield
        finally:
            self._inflight -= 1
            self._mean_seconds += 0.1 * ((self._clock() - start) / _SECOND - self._mean_seconds)

    def give_back(self) -> None:
        """Let a request that was counted count for nothing after all."""
        self._spend(-_MINUTE)

    def headers(self) -> dict[str, str]:
        """Return the limits and what is left of them, as `RateLimit-Policy` and `RateLimit`; none where it has none."""
        policies, standings = [], []
        if self._limits.requests_per_minute is not None:
            self._fill()
            left = self._credit // _MINUTE
            policies.append(f'"{_RATE}";q={self._rate};w=60')
            more = f";t={self._seconds_to_next()}" if left < self._rate else ""
            standings.append(f'"{_RATE}";r={left}{more}')
        if self._limits.inflight is not None:
            policies.append(f'"{_INFLIGHT}";q={self._limits.inflight};qu="concurrent-requests"')
            standings.append(f'"{_INFLIGHT}";r={self._limits.inflight - self._inflight}')
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(standings)} if policies else {}

    def _fill(self) -> None:
        now = self._clock()
        self._spend(-(now - self._filled) * self._rate)
        self._filled = now

    def _spend(self, amount: int) -> None:
        self._credit = min(self._rate * _MINUTE, self._credit - amount) if self._rate else 0

    def _seconds_to_next(self) -> int:
        """Return whole seconds after which one more request may be sent than now."""
        missing = _MINUTE - self._credit % _MINUTE
        return -(-missing // (self._rate * _SECOND))

    def _exceeded(self, policy: str, limit: int, detail: str, retry_after: int) -> QuotaExceeded:
        return QuotaExceeded(
            detail,
            limit=limit,
            retry_after=retry_after,
            headers=self.headers(),
            members={"violated-policies": [policy]},
        )


class Quotas:
    """The accounts of this process; each tenant's shows to nobody else.

    Args:
        clock: nanoseconds, never going back.
    """

    def __init__(self, clock: Clock = time.monotonic_ns) -> None:
        """Open no account yet."""
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def of(self, caller: Caller) -> Account:
        """Return the caller's account; as many are kept as there are tenants."""
        if caller.tenant not in self._accounts:
            self._accounts[caller.tenant] = Account(caller.limits, self._clock)
        return self._accounts[caller.tenant]
