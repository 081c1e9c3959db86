"""The bounded pool of threads that does everything the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from gateway.errors import DeadlineExceeded
from gateway.ops.timeline import Stage, Timeline

T = TypeVar("T")


class Workers:
    """`threads` threads, and `turns` requests worked on at once.

    A request waits once, for a turn, holding no more than its upload; from then on its
    steps find a thread free, or soon. OpenCV, NumPy and ISA-L release the GIL in them.

    Args:
        threads: size of the pool.
        turns: requests worked on at once; more than threads where they also wait for another process.
        pool: the threads, where they are not to be its own.
    """

    def __init__(self, threads: int, turns: int, pool: Executor | None = None) -> None:
        """Start no thread before it is needed."""
        self._pool = pool or ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._turns = asyncio.Semaphore(turns)

    @asynccontextmanager
    async def turn(self, timeline: Timeline) -> AsyncIterator[None]:
        """Wait, first come first served, until this request may be worked on.

        Raises:
            DeadlineExceeded: its time was up before its turn came.
        """
        with timeline.measure("queue"):
            try:
                async with asyncio.timeout(timeline.remaining()):
                    await self._turns.acquire()
            except TimeoutError as late:
                raise DeadlineExceeded("The deadline passed while the request waited for its turn.") from late
        try:
            yield
        finally:
            self._turns.release()

    async def run(self, timeline: Timeline, stage: Stage, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, computed in a thread, its time counted under `stage`.

        Raises:
            DeadlineExceeded: the request's time was up before the call.
        """
        timeline.remaining()
        with timeline.measure(stage):
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

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
