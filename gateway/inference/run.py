"""What the inference of one request runs on, and its steps side by side: all at once, or some ahead and in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from gateway.engines.base import Engine
from gateway.observability.metrics import Telemetry
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers

T = TypeVar("T")

# While one is finished the next is already being inferred; more ahead would hold more memory and make nothing faster.
_AHEAD = 2


@dataclass(frozen=True)
class Run:
    """Engine, worker threads, metrics and clock of one request; evaluation has one of its own."""

    engine: Engine
    workers: Workers
    telemetry: Telemetry
    timeline: Timeline

    async def aside(self, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, computed in a worker thread and counted under the stage ``finish``.

        Raises:
            DeadlineExceeded: the request's time was up before the call.
        """
        return await self.workers.run(self.timeline, "finish", function, *arguments)


async def together(steps: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of `steps`, run side by side, in their order.

    However it ends, no step is left running.
    """
    tasks = [asyncio.create_task(step) for step in steps]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_order(
    steps: Iterable[Callable[[], Coroutine[Any, Any, T]]], finish: Callable[[T], Awaitable[object]]
) -> None:
    """Run `steps` some ahead of each other, and hand their results to `finish` one after the other, in order.

    However it ends, no step is left running.
    """
    upcoming = iter(steps)

    def begun() -> Iterable[asyncio.Task[T]]:
        return (asyncio.create_task(step()) for step in upcoming)

    ahead = deque(islice(begun(), _AHEAD))
    try:
        while ahead:
            result = await ahead[0]
            ahead.popleft()
            ahead.extend(islice(begun(), 1))
            await finish(result)
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
