"""Threads whose work can be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, ParamSpec, TypeVar

from gateway.ops.telemetry import Telemetry

P = ParamSpec("P")
T = TypeVar("T")


class MeteredPool(ThreadPoolExecutor):
    """A pool of threads that says how long calls keep them busy.

    Args:
        name: what the threads are for.
        threads: size of the pool.
        telemetry: where that is shown.

    Attributes:
        waited: to be told how many seconds a call waited before it was given to the pool.
    """

    def __init__(self, name: Literal["worker", "lane"], threads: int, telemetry: Telemetry) -> None:
        """Start no thread before it is needed."""
        super().__init__(threads, thread_name_prefix=name)
        self.waited: Callable[[float], None] = telemetry.pool_wait_seconds.labels(name).observe
        self._busy = telemetry.pool_busy_seconds.labels(name)
        telemetry.pool_threads.labels(name).set(threads)

    def submit(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Have a thread call `function`, and return what will hold its result."""

        def measured() -> T:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._busy.inc(time.perf_counter() - started)

        return super().submit(measured)
