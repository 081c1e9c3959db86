"""Who is let in: bounds on requests and bytes held at once, and the drain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import Draining, Overloaded
from gateway.ops.place import Tallies
from gateway.ops.telemetry import Telemetry


class Reservation:
    """Bytes one request holds; grows while the request does, and never shrinks before its end."""

    def __init__(self, admission: Admission) -> None:
        """Hold nothing yet."""
        self._admission = admission
        self.held = 0

    def grow(self, amount: int) -> None:
        """Hold `amount` more bytes.

        Raises:
            Overloaded: the process holds too many already.
        """
        self._admission.take(amount)
        self.held += amount


class Admission:
    """The gateway's budget of requests and bytes. Lives on the event loop, so it needs no lock.

    Args:
        requests: task requests held at once by all processes.
        budget: bytes held at once over all requests.
        telemetry: where bytes in flight are shown.
        held: what all processes hold.
    """

    def __init__(self, requests: int, budget: int, telemetry: Telemetry, held: Tallies) -> None:
        """Open the gate."""
        self._requests = requests
        self._budget = budget
        self._telemetry = telemetry
        self._held = held
        self._mean_seconds = 1.0
        self.draining = False

    @contextmanager
    def admit(self) -> Iterator[Reservation]:
        """Let one request in, for as long as the context lasts.

        Raises:
            Draining: the process is shutting down.
            Overloaded: too many requests are held already.
        """
        if self.draining:
            raise Draining(
                "The gateway is shutting down; another replica will answer.",
                retry_after=1,
                headers={"Connection": "close"},
            )
        if self._held.requests.add(1) > self._requests:
            self._held.requests.add(-1)
            raise Overloaded("Too many requests are in flight.", retry_after=self._retry_after())
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self._held.requests.add(-1)
            self.take(-reservation.held)

    def take(self, amount: int) -> None:
        """Reserve `amount` bytes, or give them back where it is negative.

        Raises:
            Overloaded: the budget has no room for them.
        """
        if self._held.bytes.add(amount) > self._budget and amount > 0:
            self._held.bytes.add(-amount)
            raise Overloaded("Too many bytes are in flight.", retry_after=self._retry_after())
        self._telemetry.inflight_bytes.set(self._held.bytes.own)

    def served(self, seconds: float) -> None:
        """Learn how long a request took to serve, as a moving mean; `Retry-After` is computed from it."""
        self._mean_seconds += 0.1 * (seconds - self._mean_seconds)

    def _retry_after(self) -> int:
        """Return whole seconds until about half of what is held should be done."""
        return max(1, min(60, round(self._mean_seconds * self._held.requests.own / 2)))
