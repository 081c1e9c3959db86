"""Threads whose work can be seen, and one that is kept for emergencies."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Literal, ParamSpec, TypeVar

from gateway.observability.metrics import Telemetry
from gateway.scheduling.lanes import Lane

P = ParamSpec("P")
T = TypeVar("T")


class MeteredPool(ThreadPoolExecutor):
    """A pool of threads that says how long calls waited for one, and how long they kept it.

    Args:
        name: what the threads are for.
        threads: size of the pool.
        telemetry: where that is shown.

    Attributes:
        threads: as given.
    """

    def __init__(
        self,
        name: Literal["worker", "lane", "worker-emergency", "lane-emergency"],
        threads: int,
        telemetry: Telemetry,
    ) -> None:
        """Start no thread before it is needed."""
        super().__init__(threads, thread_name_prefix=name)
        self.threads = threads
        self._pending = 0
        self._lock = Lock()
        self._waited = telemetry.pool_wait_seconds.labels(name)
        self._busy = telemetry.pool_busy_seconds.labels(name)
        telemetry.pool_threads.labels(name).set(threads)

    def submit(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Have a thread call `function`, and return what will hold its result."""
        submitted = time.perf_counter()

        def measured() -> T:
            started = time.perf_counter()
            self._waited.observe(started - submitted)
            try:
                return function(*arguments, **named)
            finally:
                self._busy.inc(time.perf_counter() - started)

        future = super().submit(measured)
        self._count(1)
        future.add_done_callback(lambda _: self._count(-1))
        return future

    @property
    def pending(self) -> int:
        """How many calls wait or run."""
        return self._pending

    def _count(self, change: int) -> None:
        with self._lock:
            self._pending += change


class LanedPool(Executor):
    """Threads that requests of both lanes share, and one more for emergencies that find all of them taken.

    A call that is long, and whoever sent a picture may see to that, is not interrupted; so a turn alone would not help
    an emergency where each thread has such a call.

    Args:
        name: what the threads are for.
        threads: how many are shared.
        telemetry: where both are shown, the one as ``<name>-emergency``.
    """

    def __init__(self, name: Literal["worker", "lane"], threads: int, telemetry: Telemetry) -> None:
        """Start no thread before it is needed."""
        self._shared = MeteredPool(name, threads, telemetry)
        self._kept = MeteredPool("worker-emergency" if name == "worker" else "lane-emergency", 1, telemetry)

    def of(self, lane: Lane) -> Executor:
        """Return where a call of a lane is to go now."""
        taken = self._shared.pending >= self._shared.threads
        if lane == "emergency" and taken and self._kept.pending < self._shared.pending:
            return self._kept
        return self._shared

    def submit(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Have one of the shared threads call `function`."""
        return self._shared.submit(function, *arguments, **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; see `Executor.shutdown`."""
        for pool in (self._shared, self._kept):
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)
