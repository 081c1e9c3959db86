"""Who is let in: bounds on requests, bytes and predicted work held at once, and the drain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import DeadlineExceeded, Draining, Overloaded, QueueFull, WouldBeLate
from gateway.observability.metrics import Telemetry
from gateway.observability.place import Tallies
from gateway.scheduling.lanes import Lane
from gateway.scheduling.prices import Kind, Price, Prices, Unit
from gateway.scheduling.queue import Queue, Ticket
from gateway.scheduling.timeline import Timeline

# One part in so many of the requests and bytes held at once is kept for emergencies.
_KEPT = 8


class Reservation:
    """What one request holds: bytes, which grow while it does, and its place in the queue.

    Attributes:
        held: bytes.
        ticket: what it takes its turns by.
    """

    def __init__(self, admission: Admission, kind: Kind, ticket: Ticket) -> None:
        """Hold no bytes yet."""
        self.held = 0
        self.ticket = ticket
        self._admission = admission
        self._kind = kind
        self._amounts: dict[Unit, float] = {"request": 1}

    def grow(self, amount: int) -> None:
        """Hold `amount` more bytes.

        Raises:
            Overloaded: the process holds too many already.
        """
        self._admission.take(amount)
        self.held += amount

    @contextmanager
    def holding(self, amount: int) -> Iterator[None]:
        """Hold `amount` more bytes while inside.

        Raises:
            Overloaded: the process holds too many already.
        """
        self.grow(amount)
        try:
            yield
        finally:
            self._admission.take(-amount)
            self.held -= amount

    def shrink(self, amount: int) -> None:
        """Hold no more than `amount` bytes: all else was let go."""
        spare = max(0, self.held - amount)
        self._admission.take(-spare)
        self.held -= spare

    def received(self) -> None:
        """Take in that the body is there, and all that is held so far."""
        self._price("byte", self.held)

    def expect(self, items: float, done: float = 0) -> None:
        """Take in how many items there are to work on, of whatever the task counts, once headers have told.

        Args:
            items: all of them.
            done: how many of them are worked on already.

        Raises:
            WouldBeLate: what is left takes longer than there is time.
        """
        self._price("item", items, done)

    @contextmanager
    def learning(self, timeline: Timeline) -> Iterator[None]:
        """Teach the prices how long the work inside took, without its wait for a turn; where it fails, nothing.

        What was inferred before, while the body arrived, counts too.

        Args:
            timeline: of the request.
        """
        start = time.perf_counter() - timeline.seconds.get("infer", 0.0)

        def learn() -> None:
            self.served(time.perf_counter() - start - timeline.seconds.get("queue", 0.0))

        try:
            yield
        except DeadlineExceeded:
            # It takes this long at least; unlearnt, all that follow would be begun in vain too.
            if self.ticket.begun:
                learn()
            raise
        learn()

    def served(self, seconds: float) -> None:
        """Teach the prices that the request's work took `seconds`."""
        for unit, amount in self._amounts.items():
            self._admission.prices.learn(self._kind, unit, amount, seconds)

    def _price(self, unit: Unit, amount: float, done: float = 0) -> None:
        self._amounts[unit] = amount
        # What is not known yet by items is known by bytes.
        if (price := self._admission.prices.predict(self._kind, unit, amount - done)).seconds:
            self.ticket.expect(price)


class Admission:
    """The gateway's budget of requests and bytes, and of the work of this process.

    Lives on the event loop, so it needs no lock.

    Args:
        requests: task requests held at once by all processes; the last eighth is for emergencies.
        budget: bytes held at once over all of them; once all but an eighth is, only emergencies are let in.
        queue_seconds: longest wait for a turn that is let in to.
        queue: where they wait; it knows for how long.
        prices: what they cost.
        telemetry: where bytes in flight are shown.
        held: what all processes hold.

    Attributes:
        draining: the process is about to leave, and tells whoever asks whether it is ready; requests are served yet.
        closed: it leaves, and lets no more in.
    """

    def __init__(
        self,
        requests: int,
        budget: int,
        queue_seconds: float,
        queue: Queue,
        prices: Prices,
        telemetry: Telemetry,
        held: Tallies,
    ) -> None:
        """Open the gate."""
        self.prices = prices
        self._requests = requests
        self._budget = budget
        self._queue_seconds = queue_seconds
        self.queue = queue
        self._telemetry = telemetry
        self._held = held
        self.draining = False
        self.closed = False

    @contextmanager
    def admit(self, kind: Kind, length: int, timeline: Timeline) -> Iterator[Reservation]:
        """Let one request in, for as long as the context lasts.

        Args:
            kind: what it is priced as.
            length: bytes of its body, as far as it says; else 0.
            timeline: its clock, which tells its lane and its deadline too.

        Raises:
            Draining: the process has shut down its socket.
            Overloaded: too many requests or bytes are held already.
            QueueFull: it would wait too long.
            WouldBeLate: it would not be done by its deadline.
        """
        if self.closed:
            raise Draining(
                "The gateway is shutting down; another replica will answer.",
                retry_after=1,
                headers={"Connection": "close"},
            )
        lane = timeline.lane
        try:
            if self._held.requests.add(1) > self._requests - _kept(self._requests, lane):
                raise self._overloaded("requests")
            if self._held.bytes.total > self._budget - _kept(self._budget, lane):
                raise self._overloaded("bytes")
            price = self.prices.predict(kind, kind.unit, length if kind.unit == "byte" else 1)
            self._check_time(timeline, price)
            with self.queue.expect(timeline, price) as ticket:
                reservation = Reservation(self, kind, ticket)
                try:
                    yield reservation
                finally:
                    self.take(-reservation.held)
        finally:
            self._held.requests.add(-1)

    def take(self, amount: int) -> None:
        """Reserve `amount` bytes, or give them back where it is negative.

        Raises:
            Overloaded: the budget has no room for them.
        """
        if self._held.bytes.add(amount) > self._budget and amount > 0:
            self._held.bytes.add(-amount)
            raise self._overloaded("bytes")
        self._telemetry.inflight_bytes.set(self._held.bytes.own)

    def _overloaded(self, what: str) -> Overloaded:
        # What is held by either lane is given back when both have been worked off.
        return Overloaded(f"Too many {what} are in flight.", retry_after=self.queue.retry_after("bulk"))

    def _check_time(self, timeline: Timeline, price: Price) -> None:
        wait, lane = self.queue.wait(timeline.lane), timeline.lane
        cost = price.ample if wait else price.seconds
        if wait > self._queue_seconds:
            raise QueueFull(
                f"The queue is full: a request would wait longer than {self._queue_seconds:g} seconds.",
                retry_after=self.queue.retry_after(lane, self._queue_seconds),
            )
        if wait + cost > timeline.allowed:
            raise WouldBeLate(
                f"The request would wait some {wait:.1f} seconds and take some {cost:.1f}, and {timeline.allowed:g} "
                "are left until its deadline.",
                retry_after=self.queue.retry_after(lane, timeline.allowed - cost),
            )


def _kept(whole: int, lane: Lane) -> int:
    """Return how much of `whole` is kept from a lane."""
    return 0 if lane == "emergency" else whole // _KEPT
