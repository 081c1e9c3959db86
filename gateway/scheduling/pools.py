"""Threads whose work can be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, ParamSpec, TypeVar

from gateway.observability.metrics import Telemetry

P = ParamSpec("P")
T = TypeVar("T")


class MeteredPool(ThreadPoolExecutor):
    """A pool of threads that says how long calls waited for one, and how long they kept it.

    Args:
        name: what the threads are for.
        threads: size of the pool.
        telemetry: where that is shown.
    """

    def __init__(self, name: Literal["worker", "lane"], threads: int, telemetry: Telemetry) -> None:
        """Start no thread before it is needed."""
        super().__init__(threads, thread_name_prefix=name)
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

        return super().submit(measured)
