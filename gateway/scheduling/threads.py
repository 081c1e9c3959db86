"""Threads that compute what coroutines wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Literal, TypeVar

from gateway.observability.metrics import Telemetry

T = TypeVar("T")


class Threads:
    """A pool of threads whose calls coroutines of one event loop wait for.

    `ThreadPoolExecutor` behind `run_in_executor` does the same for anybody, with a lock, a condition and two futures
    for each call: that takes half as long again, and a pair of pictures is handed over four or five times.

    Args:
        name: what the threads are for.
        count: how many there are at most.

    Attributes:
        count: as given.
        pending: how many calls wait or run.
    """

    def __init__(self, name: str, count: int) -> None:
        """Start no thread before it is needed."""
        self.count = count
        self.pending = 0
        self._name = name
        self._threads: list[Thread] = []
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._closed = False

    @property
    def free(self) -> int:
        """How many threads nobody has taken."""
        return max(0, self.count - self.pending)

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, computed in a thread; not even begun where its caller is cancelled before.

        Raises:
            RuntimeError: the pool is closed.
            Exception: whatever `function` raises.
        """
        if self._closed:
            raise RuntimeError("the threads have ended")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._calls.put(_Call(self, loop, answer, function, arguments))
        self.pending += 1
        if self.pending > len(self._threads) < self.count:
            # A process that ends without closing the pool waits for nobody.
            thread = Thread(target=_work, args=(self._calls,), name=f"{self._name}_{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        try:
            return await answer
        finally:
            # What the answer raises is raised from here, and would hold itself by it, and all that it was raised from.
            del answer

    def close(self) -> None:
        """Let running calls end, cancel those that wait, and take no more; may be called from any thread."""
        self._closed = True
        with suppress(Empty):
            while (waiting := self._calls.get_nowait()) is not None:
                waiting.cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()


class MeteredThreads(Threads):
    """Threads that say how long calls waited for one, and how long they kept it.

    Args:
        name: what they are for.
        count: as of `Threads`.
        telemetry: where that is shown.
    """

    def __init__(
        self,
        name: Literal["worker", "lane", "worker-emergency", "lane-emergency", "store"],
        count: int,
        telemetry: Telemetry,
    ) -> None:
        """Start no thread before it is needed."""
        super().__init__(name, count)
        self._waited = telemetry.pool_wait_seconds.labels(name)
        self._busy = telemetry.pool_busy_seconds.labels(name)
        telemetry.pool_threads.labels(name).set(count)

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what `Threads.call` does, and measure it."""
        handed_over = time.perf_counter()

        def measured() -> T:
            begun = time.perf_counter()
            self._waited.observe(begun - handed_over)
            try:
                return function(*arguments)
            finally:
                self._busy.inc(time.perf_counter() - begun)

        return await super().call(measured)


@dataclass(eq=False, slots=True)
class _Call:
    """What a thread is to compute, and who waits for it."""

    threads: Threads
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[object, ...]

    def compute(self) -> None:
        """Compute it, unless nobody waits any more, and say so to the event loop."""
        try:
            value = None if self.answer.cancelled() else self.function(*self.arguments)
        except BaseException as error:
            self._tell(None, error)
            # As in `Threads.call`.
            del self
        else:
            self._tell(value, None)

    def cancel(self) -> None:
        """Cancel who waits for it."""
        # A loop that was closed meanwhile has nobody left who waits.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.answer.cancel)

    def _tell(self, value: object, error: BaseException | None) -> None:
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_end, self.threads, self.answer, value, error)


def _end(threads: Threads, answer: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
    threads.pending -= 1
    if answer.cancelled():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        call.compute()
        # Else what it was handed would be held until the next one comes.
        del call
