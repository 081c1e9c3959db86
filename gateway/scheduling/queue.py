"""The queue of requests: what is expected of each, how long a newcomer would wait, and who is too late."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.errors import DeadlineExceeded, WouldBeLate
from gateway.observability.metrics import Telemetry
from gateway.scheduling.lanes import LANES, Lane, Turns
from gateway.scheduling.prices import Price
from gateway.scheduling.timeline import Timeline


class Queue:
    """Every request from when it is let in until it ends: coming, worked on, or letting others in between.

    Coming are those whose bodies still arrive and those who wait. A request counts for no more than `turn_seconds`,
    after which it lets others in. Lives on the event loop.

    Args:
        turns: requests worked on at once.
        turn_seconds: seconds after which work that goes on passes its turn on, where others wait.
        telemetry: where work that waits, and requests that are shed, are shown.
        clock: monotonic seconds.
    """

    def __init__(
        self, turns: Turns, turn_seconds: float, telemetry: Telemetry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Expect nobody yet."""
        self.turns = turns
        self.turn_seconds = turn_seconds
        self.telemetry = telemetry
        self.clock = clock
        self._coming: dict[Lane, dict[Ticket, float]] = {lane: {} for lane in LANES}
        self._seconds = dict.fromkeys(LANES, 0.0)
        self._begun: set[Ticket] = set()

    @contextmanager
    def expect(self, timeline: Timeline, price: Price) -> Iterator[Ticket]:
        """Reckon with a request while inside, and return what it takes its turns by."""
        ticket = Ticket(self, timeline, price)
        self.comes(ticket)
        try:
            yield ticket
        finally:
            self._forget(ticket)

    def wait(self, lane: Lane) -> float:
        """Return the seconds that a request of a lane would wait for its turn, were it to come now.

        That is the work before it, of its lane and of those that go before it, over the number of turns.
        """
        before = LANES[: LANES.index(lane) + 1]
        begun = [ticket.left() for ticket in self._begun if ticket.timeline.lane in before]
        if len(begun) + sum(len(self._coming[one]) for one in before) < self.turns.count:
            return 0.0
        return (sum(begun) + sum(self._seconds[one] for one in before)) / self.turns.count

    def retry_after(self, lane: Lane, spare: float = 0.0) -> int:
        """Return in how many whole seconds, at least 1, a request of a lane should wait for `spare` seconds at most."""
        return max(1, math.ceil(self.wait(lane) - spare))

    def comes(self, ticket: Ticket) -> None:
        """Reckon with a request as one whose work is to come, at the price it has now."""
        self._forget(ticket)
        lane, seconds = ticket.timeline.lane, min(ticket.price.seconds, self.turn_seconds)
        self._coming[lane][ticket] = seconds
        self._show(lane, self._seconds[lane] + seconds)

    def begins(self, ticket: Ticket) -> None:
        """Reckon with a request as one that is worked on."""
        self._forget(ticket)
        self._begun.add(ticket)

    def _forget(self, ticket: Ticket) -> None:
        self._begun.discard(ticket)
        lane = ticket.timeline.lane
        if (seconds := self._coming[lane].pop(ticket, None)) is not None:
            # Sums of many differences drift; that of nobody is known.
            self._show(lane, self._seconds[lane] - seconds if self._coming[lane] else 0.0)

    def _show(self, lane: Lane, seconds: float) -> None:
        self._seconds[lane] = seconds
        self.telemetry.queued_seconds.labels(lane).set(seconds)


class Ticket:
    """One request in the queue.

    Attributes:
        timeline: its clock and its lane.
        price: what its work is predicted to take.
        begun: whether it was worked on yet.
    """

    def __init__(self, queue: Queue, timeline: Timeline, price: Price) -> None:
        """Hold no turn."""
        self.timeline = timeline
        self.price = price
        self.begun = False
        self._queue = queue
        self._holds = False
        self._since = 0.0
        self._moved = False
        self._breathing = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until the request may be worked on, and let it be so inside; one that has begun waits before others.

        Raises:
            WouldBeLate: it has not begun, and would not be done in time.
            DeadlineExceeded: its time is up.
        """
        with self.timeline.measure("queue"):
            await (self._again() if self.begun else self._first())
        self.timeline.breath = self._breathe
        try:
            yield
        finally:
            self.timeline.breath = None
            if self._holds:
                self._holds = False
                self._queue.turns.give_back()

    @contextmanager
    def spare_turn(self) -> Iterator[bool]:
        """Say whether work before its time may be done inside: in the request's own turn, else in one that is free.

        Nobody waits for a request that has not begun, but for those that arrive while it holds the turn: it is to be
        given back after a step.
        """
        taken = not self._holds and self._queue.turns.take_free()
        try:
            yield taken or self._holds
        finally:
            if taken:
                self._queue.turns.give_back()

    def expect(self, price: Price) -> None:
        """Take in what the work is predicted to take by now.

        Raises:
            WouldBeLate: it has just begun, and would not be done in time.
        """
        self.price = price
        if not self.begun:
            self._queue.comes(self)
        elif self.timeline.remaining() < price.seconds:
            raise self._shed()

    def left(self) -> float:
        """Return the predicted seconds of work left, no more than a slice; of one that has begun."""
        return max(0.0, min(self.price.seconds, self._queue.turn_seconds) - (self._queue.clock() - self._since))

    async def _first(self) -> None:
        # Who has to wait is to have ample time left after it; who has not may try its luck.
        needed = self.price.seconds if self._queue.turns.free > 0 else self.price.ample
        spare = self.timeline.remaining() - needed
        if spare <= 0:
            raise self._shed()
        try:
            async with asyncio.timeout(spare):
                await self._queue.turns.take(self.timeline.lane)
        except TimeoutError:
            raise self._shed() from None
        self._begin()

    async def _again(self) -> None:
        async with self._in_time():
            await self._queue.turns.take_again(self.timeline.lane)
        self._holds = True

    async def _breathe(self) -> None:
        """Let emergencies in, and others too where the turn has lasted its slice; return with a turn again.

        Each turn lasts for a step at least: else who was let in after waiting would let others in before it moved.
        """
        # Steps side by side wait for the one turn that all of them work in.
        async with self._breathing:
            if not self._moved:
                self._moved = True
                return
            turns, lane = self._queue.turns, self.timeline.lane
            over = self._queue.clock() - self._since >= self._queue.turn_seconds
            if over and any(map(turns.waiting, LANES)):
                pause = turns.pass_on
            elif lane == "bulk" and (turns.waiting("emergency") or turns.free < 0):
                pause = turns.lend
            else:
                return
            self._holds = False
            self._queue.comes(self)
            with self.timeline.measure("queue"):
                async with self._in_time():
                    await pause(lane)
            self._begin()
            # The step that waited is made in this turn.
            self._moved = True

    def _begin(self) -> None:
        self.begun = self._holds = True
        self._moved = False
        self._since = self._queue.clock()
        self._queue.begins(self)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.timeline.remaining()):
                yield
        except TimeoutError as late:
            raise DeadlineExceeded("The deadline passed while the request waited for its turn.") from late

    def _shed(self) -> WouldBeLate:
        lane, timeline = self.timeline.lane, self.timeline
        self._queue.telemetry.shed.labels(lane).inc()
        return WouldBeLate(
            "By now the request would be answered after its deadline; it was not worked on.",
            retry_after=self._queue.retry_after(lane, timeline.allowed - self.price.ample),
        )
