"""The bounded pools of threads that do everything the event loop must not, each with one kept for emergencies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from gateway.errors import Overloaded
from gateway.observability.metrics import Telemetry
from gateway.scheduling.lanes import Lane
from gateway.scheduling.threads import MeteredThreads, Threads
from gateway.scheduling.timeline import Stage, Timeline

T = TypeVar("T")

_RETRY_SECONDS = 5
# OpenCV's `StsNoMem`; ONNX Runtime's words, by which alone its errors are told apart.
_NO_MEMORY = -4
_NOT_ALLOCATED = ("bad_alloc", "Failed to allocate memory", "Available memory of")


class LanedThreads:
    """Threads that requests of both lanes share, and one more for emergencies that find all of them taken.

    A call that is long, and whoever sent a picture may see to that, is not interrupted; so a turn alone would not help
    an emergency where each thread has such a call.

    Args:
        name: what the threads are for.
        count: how many are shared.
        telemetry: where both are shown, the one as ``<name>-emergency``.
    """

    def __init__(self, name: Literal["worker", "lane"], count: int, telemetry: Telemetry) -> None:
        """Start no thread before it is needed."""
        self._shared = MeteredThreads(name, count, telemetry)
        self._kept = MeteredThreads("worker-emergency" if name == "worker" else "lane-emergency", 1, telemetry)

    def of(self, lane: Lane) -> Threads:
        """Return where a call of a lane is to go now."""
        if lane == "emergency" and not self._shared.free and self._kept.pending < self._shared.pending:
            return self._kept
        return self._shared

    @property
    def free(self) -> int:
        """How many of the shared threads nobody has taken."""
        return self._shared.free

    def close(self) -> None:
        """End all threads; see `Threads.close`."""
        for threads in (self._shared, self._kept):
            threads.close()


class Workers:
    """A pool of threads that requests share.

    A request waits once, for its turn (`gateway/scheduling/queue.py`), holding no more than its upload; from then on
    its steps find a thread free, or soon. An emergency finds one at once where the pool keeps one for it, whatever the
    others do. OpenCV, NumPy and ISA-L release the GIL in them.

    Args:
        threads: theirs.
    """

    def __init__(self, threads: Threads | LanedThreads) -> None:
        """Take the threads over: `close` ends them."""
        self._threads = threads

    @property
    def free(self) -> int:
        """How many threads nobody has taken."""
        return self._threads.free

    async def run(self, timeline: Timeline, stage: Stage, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, computed in a thread, its time counted under `stage`.

        Raises:
            DeadlineExceeded: the request's time was up before the call.
            Overloaded: there was not enough memory for it.
        """
        timeline.remaining()
        threads = self._threads.of(timeline.lane) if isinstance(self._threads, LanedThreads) else self._threads
        with timeline.measure(stage), answering_lack_of_memory():
            return await threads.call(function, *arguments)

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
        self._threads.close()


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
