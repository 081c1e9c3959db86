"""What the inference of one request runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.engines.base import Engine
from gateway.observability.metrics import Telemetry
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers

T = TypeVar("T")


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
