"""What the routers share, and the path every task request takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from starlette.responses import Response

from gateway.engines.base import Engine, Model
from gateway.errors import CallerLeft
from gateway.ops.admission import Admission, Reservation
from gateway.ops.features import FeatureStore
from gateway.ops.progress import ProgressBoard
from gateway.ops.sessions import SessionStore
from gateway.ops.telemetry import Telemetry
from gateway.ops.timeline import Timeline
from gateway.ops.workers import Workers
from gateway.settings import LimitSettings, Settings
from gateway.tasks.fused import FusedModel, FusedSegmenter
from gateway.tasks.segmentation import Segmenter
from gateway.tasks.selection import Memory, Run

T = TypeVar("T")
Body = TypeVar("Body")


@dataclass(frozen=True)
class Services:
    """Everything one app is made of; built once in `gateway/app.py`."""

    settings: Settings
    telemetry: Telemetry
    admission: Admission
    workers: Workers
    engine: Engine
    sessions: SessionStore
    features: FeatureStore
    progress: ProgressBoard


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


InjectedServices = Annotated[Services, Depends(_services)]


@dataclass(frozen=True)
class Job(Generic[Body]):
    """One admitted request: its body as it was read, its clock, and the bytes it holds."""

    services: Services
    body: Body
    timeline: Timeline
    reservation: Reservation

    async def run(self, stage: Any, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)` from a worker thread, its time counted under `stage`."""
        return await self.services.workers.run(self.timeline, stage, function, *arguments)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until this request may be worked on, and be so inside; see `Workers.turn`."""
        return self.services.workers.turn(self.timeline)

    def segmenter(self, model: Model) -> Segmenter:
        """Return `model`, ready to run for this request."""
        services = self.services
        whole = Segmenter(model, services.engine, services.workers, services.telemetry, self.timeline)
        if not isinstance(model, FusedModel):
            return whole
        return FusedSegmenter(**vars(whole), finder=self.segmenter(model.finder), grader=self.segmenter(model.grader))

    def selecting(self, memory: Memory | None = None) -> Run:
        """Return what selections of this request run on, features kept in `memory` where there is one."""
        return Run(self.services.engine, self.services.workers, self.services.telemetry, self.timeline, memory)


async def serve_task(
    services: Services,
    request: Request,
    task: str,
    read: Callable[[Request, LimitSettings, Reservation], Awaitable[Body]],
    work: Callable[[Job[Body]], Awaitable[Response]],
) -> Response:
    """Admit a request, `read` its body, wait for its turn, and return what `work` makes of it.

    Raises:
        MaskgateError: any of the tree; see `serve_admitted` and the task.
    """

    async def in_turn(job: Job[Body]) -> Response:
        async with job.turn():
            return await work(job)

    return await serve_admitted(services, request, task, read, in_turn)


async def serve_admitted(
    services: Services,
    request: Request,
    task: str,
    read: Callable[[Request, LimitSettings, Reservation], Awaitable[Body]],
    work: Callable[[Job[Body]], Coroutine[Any, Any, Response]],
) -> Response:
    """Admit a request, `read` its body, and return what `work` makes of it, which takes turns itself.

    However it ends, what it held is given back; a caller who hangs up ends it early.

    Raises:
        MaskgateError: any of the tree; see `Admission.admit`, `gateway/api/uploads.py` and `work`.
    """
    timeline, state = Timeline(services.settings.limits.deadline_seconds), request.scope["state"]
    with (
        services.admission.admit() as reservation,
        services.telemetry.task(task, timeline),
        services.progress.shown(state["tenant"], state["request_id"], timeline),
    ):
        try:
            with timeline.measure("receive"):
                body = await read(request, services.settings.limits, reservation)
            start = time.perf_counter()
            response = await _unless_caller_leaves(request, work(Job(services, body, timeline, reservation)))
            services.admission.served(time.perf_counter() - start - timeline.seconds.get("queue", 0.0))
        except CallerLeft:
            services.telemetry.cancelled.labels(timeline.stage).inc()
            raise
    response.headers["Server-Timing"] = timeline.server_timing()
    response.headers["Cache-Control"] = "private, no-store"
    return response


async def _unless_caller_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`; cancel it when the caller hangs up first.

    Raises:
        CallerLeft: the caller hung up.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise CallerLeft("The caller hung up before the answer.")
        return await working
    finally:
        leaving.cancel()
        working.cancel()
        # Wait for the cancelled work to let go of its turn before its bytes are given back.
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
