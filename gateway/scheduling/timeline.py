"""Where one request's time went, how far it is, and how much time is left; and a board of all that run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from gateway.errors import DeadlineExceeded, RequestNotFound
from gateway.observability.tracing import step
from gateway.scheduling.lanes import Lane

Stage = Literal["receive", "queue", "decode", "infer", "finish", "encode", "send"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Timeline:
    """Seconds per stage of one request, how much of its work is done, and its deadline.

    Steps of one stage may overlap (two images are decoded side by side); the time in which any of
    them ran counts once, so that a stage never takes longer than the request. Different stages may
    overlap too (a row of tiles is stitched while the next is inferred). Lives on the event loop.

    Args:
        seconds: time the whole request may take, from now.
        lane: in which it waits.

    Attributes:
        lane: as given.
        allowed: seconds from its first byte to its deadline.
        breath: lets others be worked on in between, and returns when this request may go on; None: it holds no turn.
        stage: what began last.
        done: slices or tiles done.
        total: of how many; None while that is not known.
    """

    def __init__(self, seconds: float, lane: Lane = "bulk") -> None:
        """Start the clock."""
        self.lane: Lane = lane
        self.allowed = seconds
        self.breath: Callable[[], Awaitable[None]] | None = None
        self._start = time.monotonic()
        self._running: dict[Stage, int] = {}
        self._since: dict[Stage, float] = {}
        self.seconds: dict[Stage, float] = {}
        self.stage: Stage = "receive"
        self.done = 0
        self.total: int | None = None

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Count the time spent inside as `stage`, also where it is left by an exception."""
        self.stage = stage
        if not self._running.get(stage):
            self._since[stage] = time.perf_counter()
        self._running[stage] = self._running.get(stage, 0) + 1
        try:
            with step(stage):
                yield
        finally:
            self._running[stage] -= 1
            if not self._running[stage]:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - self._since[stage]

    def advance(self, done: int, total: int) -> None:
        """Say that `done` of `total` slices or tiles are done."""
        self.done, self.total = done, total

    async def breathe(self) -> None:
        """Let others go first where they should. Long work calls it before each step; see `Ticket.turn`."""
        if self.breath is not None:
            await self.breath()

    def curtail(self, seconds: float) -> None:
        """Let the whole request take no more than `seconds`, counted from its first byte."""
        self.allowed = min(self.allowed, seconds)

    def remaining(self) -> float:
        """Return the seconds left.

        Raises:
            DeadlineExceeded: none are.
        """
        left = self._start + self.allowed - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("The request took longer than its deadline allows.")
        return left

    def server_timing(self) -> str:
        """Return the `Server-Timing` header's value: milliseconds per stage, in the order of `STAGES`."""
        return ", ".join(f"{stage};dur={self.seconds[stage] * 1000:.2f}" for stage in STAGES if stage in self.seconds)


class ProgressBoard:
    """The timelines of running requests, by tenant and request id; bounded as they are, by admission.

    Lives on the event loop.
    """

    def __init__(self) -> None:
        """Show nothing yet."""
        self._running: dict[tuple[str, str], Timeline] = {}

    @contextmanager
    def shown(self, tenant: str, request_id: str, timeline: Timeline) -> Iterator[None]:
        """Show a request while inside; of two of one tenant and one id, that which began last."""
        key = tenant, request_id
        self._running[key] = timeline
        try:
            yield
        finally:
            if self._running.get(key) is timeline:
                del self._running[key]

    def of(self, tenant: str, request_id: str) -> Timeline:
        """Return the timeline of a request.

        Raises:
            RequestNotFound: none of that id runs for `tenant`. That one runs for another shows in nothing.
        """
        try:
            return self._running[tenant, request_id]
        except KeyError:
            raise RequestNotFound("No request of that id runs here; it ended, or runs in another process.") from None
