"""The bounded pools of threads that do everything the event loop must not, each with one kept for emergencies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Literal, ParamSpec, TypeVar

from gateway.errors import Overloaded
from gateway.observability.metrics import Telemetry
from gateway.scheduling.lanes import Lane
from gateway.scheduling.timeline import Stage, Timeline

P = ParamSpec("P")
T = TypeVar("T")

_RETRY_SECONDS = 5
# OpenCV's `StsNoMem`; ONNX Runtime's words, by which alone its errors are told apart.
_NO_MEMORY = -4
_NOT_ALLOCATED = ("bad_alloc", "Failed to allocate memory", "Available memory of")


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
        name: Literal["worker", "lane", "worker-emergency", "lane-emergency", "store"],
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


class Workers:
    """A pool of threads that requests share.

    A request waits once, for its turn (`gateway/scheduling/queue.py`), holding no more than its upload; from then on
    its steps find a thread free, or soon. An emergency finds one at once where the pool keeps one for it, whatever the
    others do. OpenCV, NumPy and ISA-L release the GIL in them.

    Args:
        pool: the threads.
    """

    def __init__(self, pool: Executor) -> None:
        """Take the pool over: `close` ends it."""
        self._pool = pool

    async def run(self, timeline: Timeline, stage: Stage, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, computed in a thread, its time counted under `stage`.

        Raises:
            DeadlineExceeded: the request's time was up before the call.
            Overloaded: there was not enough memory for it.
        """
        timeline.remaining()
        pool = self._pool.of(timeline.lane) if isinstance(self._pool, LanedPool) else self._pool
        with timeline.measure(stage), answering_lack_of_memory():
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    async def run_to_end(self, timeline: Timeline, stage: Stage, function: Callable[..., T], *arguments: object) -> T:
        """Return what `run` returns; where the caller is cancelled, it goes on when `function` has returned.

        So that whatever the function reads, files of other libraries above all, can be given back at once.
        """
        running = asyncio.ensure_future(self.run(timeline, stage, function, *arguments))
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait({running})
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            # Nobody hears of an error any more; asked for here, it is not complained of as never retrieved.
            running.exception()
            raise cancelled
        return running.result()

    def close(self) -> None:
        """Let running calls end and refuse new ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def answering_lack_of_memory() -> Iterator[None]:
    """Raise Overloaded for what a library raises inside because it was given no memory."""
    try:
        yield
    except Exception as error:
        if not _is_lack_of_memory(error):
            raise
        raise Overloaded("There is not enough memory for the request now.", retry_after=_RETRY_SECONDS) from error


def _is_lack_of_memory(error: Exception) -> bool:
    """Return whether a library raised `error` because it was given no memory."""
    if isinstance(error, MemoryError):
        return True
    library = type(error).__module__
    if library.startswith("cv2"):
        return getattr(error, "code", None) == _NO_MEMORY
    # Of a run with outputs bound beforehand ONNX Runtime raises none of its own classes.
    own = library.startswith("onnxruntime") or type(error) is RuntimeError
    return own and any(words in str(error) for words in _NOT_ALLOCATED)
