"""The bounded pool of threads that does everything the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from gateway.scheduling.memory import answering_lack_of_memory
from gateway.scheduling.pools import LanedPool
from gateway.scheduling.timeline import Stage, Timeline

T = TypeVar("T")


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
