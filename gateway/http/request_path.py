"""What the routers share, and the path every task request takes."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.access.keys import Caller, check_scope
from gateway.engines.base import Engine, Model
from gateway.engines.remembering import remembering
from gateway.errors import CallerLeft, ParameterInvalid
from gateway.http.uploads import declared_length, naming_part
from gateway.inference.segmenter import Run
from gateway.inference.statistics import Statistics
from gateway.media.pictures.headers import ImageInfo
from gateway.media.pictures.images import DecodedImage, ImageLimits, decode, probe
from gateway.observability.metrics import Telemetry
from gateway.observability.place import Tally
from gateway.pacs.dicomweb import Dicomweb
from gateway.scheduling.admission import Admission, Reservation
from gateway.scheduling.lanes import LANES, Lane
from gateway.scheduling.prices import Kind
from gateway.scheduling.timeline import ProgressBoard, Timeline
from gateway.scheduling.workers import Workers, answering_lack_of_memory
from gateway.sessions.features import FeatureStore
from gateway.sessions.store import SessionStore
from gateway.settings import LimitSettings, Settings
from gateway.stores.ranges import Stores

ASKED_WHETHER = "asked_whether"
"""In the state of a request that only asks whether one of its parameters would be taken; it is not admitted."""

MEMORY = "memory"
"""In the state of a request whose models' answers are written down: the `Memory`."""

T = TypeVar("T")
Body = TypeVar("Body")

PRIORITY, DEADLINE = "Maskgate-Priority", "Maskgate-Deadline"

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

Parts = dict[str, memoryview]


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
    refreshes: Tally
    pacs: Dicomweb | None
    stores: Stores
    statistics: Statistics = field(default_factory=Statistics)


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


InjectedServices = Annotated[Services, Depends(_services)]


async def _tenant(request: Request) -> str:
    # A plain function would be run in a thread.
    tenant: str = request.scope["state"]["tenant"]
    return tenant


InjectedTenant = Annotated[str, Depends(_tenant)]
"""Whose request it is, for routes under `/v1` and `/v2`."""


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

    def at_once(self, stage: Any, function: Callable[..., T], *arguments: object) -> T:
        """Return what `run` does, computed here: of use where that takes less than to have a thread do it."""
        with self.timeline.measure(stage):
            return function(*arguments)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until this request may be worked on, and be so inside; see `Ticket.turn`."""
        return self.reservation.ticket.turn()

    @property
    def inference(self) -> Run:
        """What the models of this request run on."""
        services = self.services
        return Run(services.engine, services.workers, services.telemetry, self.timeline)


async def serve_task(
    services: Services,
    request: Request,
    kind: Kind,
    read: Callable[[Request, LimitSettings, Reservation], Awaitable[Body]],
    work: Callable[[Job[Body]], Awaitable[Response]],
    beside: AbstractAsyncContextManager[object] | None = None,
) -> Response:
    """Return the answer to a request: admit it, `read` its body, wait for its turn, and do its `work`.

    `beside` is as of `serve_admitted`.

    Raises:
        MaskgateError: any of the tree; see `serve_admitted` and the task.
    """

    async def in_turn(job: Job[Body]) -> Response:
        async with job.turn():
            return await work(job)

    return await serve_admitted(services, request, kind, read, in_turn, beside=beside)


async def serve_admitted(
    services: Services,
    request: Request,
    kind: Kind,
    read: Callable[[Request, LimitSettings, Reservation], Awaitable[Body]],
    work: Callable[[Job[Body]], Coroutine[Any, Any, Response]],
    longest: float | None = None,
    beside: AbstractAsyncContextManager[object] | None = None,
) -> Response:
    """Return the answer to a request: admit it, `read` its body, and do its `work`, which takes turns itself.

    However it ends, what it held is given back: when the answer was sent, or its caller hung up before.

    Args:
        services: of the app.
        request: its head; the body is read only once the request is admitted.
        kind: what it is priced as.
        read: returns the body.
        work: returns the answer.
        longest: seconds that a request may take whose caller names no deadline; None: as in the settings.
        beside: what is worked on beside `read` and `work`; it is left, however they end, before what is held is given
            back.

    Raises:
        MaskgateError: any of the tree; see `Admission.admit`, `deadline_of`, `lane_of`, `gateway/http/uploads.py` and
            `work`. What the caller says of its urgency is judged here, all else where the answer is sent.
    """
    limits, state = services.settings.limits, request.scope["state"]
    deadline = deadline_of(request.headers, limits.deadline_seconds) or longest or limits.deadline_seconds
    timeline = Timeline(deadline, lane_of(request.headers, state["caller"]))
    if state.get(ASKED_WHETHER):
        return Response(status_code=204)
    if (memory := state.get(MEMORY)) is not None:
        services = replace(services, engine=remembering(services.engine, services.workers, memory))

    async def serve(send: Send) -> None:
        with (
            services.admission.admit(kind, declared_length(request) or 0, timeline) as reservation,
            services.telemetry.task(kind.task, timeline),
            services.progress.shown(state["tenant"], state["request_id"], timeline),
            answering_lack_of_memory(),
        ):
            async with beside or nullcontext():
                try:
                    with timeline.measure("receive"):
                        job = Job(services, await read(request, limits, reservation), timeline, reservation)
                    reservation.received()
                    working = work(job)
                    # The body is let go when the work is done, and not when its answer has been sent.
                    del job
                    await _unless_caller_leaves(request, _answer(working, request, timeline, reservation, send))
                except CallerLeft:
                    services.telemetry.cancelled.labels(timeline.stage).inc()
                    if timeline.stage != "send":
                        raise

    return _Served(serve)


class _Served(Response):
    """An answer that is worked out where it is sent: what it takes is held until it was sent, by one context."""

    def __init__(self, serve: Callable[[Send], Awaitable[None]]) -> None:
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(send)


async def _answer(
    working: Coroutine[Any, Any, Response], request: Request, timeline: Timeline, reservation: Reservation, send: Send
) -> None:
    """Send the response that `working` returns, and return when the caller has it."""
    with reservation.learning(timeline):
        response = await working
    response.headers["Server-Timing"] = timeline.server_timing()
    response.headers["Cache-Control"] = "private, no-store"
    reservation.shrink(len(response.body))
    with timeline.measure("send"):
        await response(request.scope, request.receive, _to_the_end(send))


def _to_the_end(send: Send) -> Send:
    """Return a `send` that returns from the end of an answer when little of it is left in the server's buffers."""

    async def lasting(message: Message) -> None:
        if message["type"] == "http.response.body" and message.get("body") and not message.get("more_body"):
            # The server waits for the caller to take what it was given before when it is given something more.
            await send({**message, "more_body": True})
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return lasting


async def _unless_caller_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`; cancel it when the caller hangs up first.

    Raises:
        CallerLeft: the caller hung up.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request, working))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        # To one who left while it was sent an answer seems sent at the same moment: the server drops the rest.
        if not working.done() or (leaving.done() and await leaving):
            raise CallerLeft("The caller hung up before it had the answer.")
        return await working
    finally:
        leaving.cancel()
        working.cancel()
        # Wait for the cancelled work to let go of its turn before its bytes are given back.
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request, working: asyncio.Task[T]) -> bool:
    """Return, when nothing more comes from the caller, whether that was before the work was done."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return not working.done()


def lane_of(headers: Headers, caller: Caller) -> Lane:
    """Return the lane that a request asks for.

    Raises:
        ParameterInvalid: there is none of that name.
        Forbidden: its caller may not use it.
    """
    asked = headers.get(PRIORITY, "bulk")
    lane = next((lane for lane in LANES if lane == asked), None)
    if lane is None:
        raise ParameterInvalid(f"{PRIORITY} is one of {' and '.join(LANES)}.", pointer=f"/{PRIORITY}")
    if lane == "emergency":
        check_scope(caller, "emergency")
    return lane


def deadline_of(headers: Headers, longest: float) -> float | None:
    """Return the seconds that a request gives its answer, if it says.

    Raises:
        ParameterInvalid: they are no decimal number above 0, or more than `longest`.
    """
    asked = headers.get(DEADLINE)
    if asked is None:
        return None
    if not _DECIMAL.fullmatch(asked) or not 0 < float(asked) <= longest:
        raise ParameterInvalid(
            f"{DEADLINE} is a decimal number of seconds above 0, and {longest:g} at most.", pointer=f"/{DEADLINE}"
        )
    return float(asked)


async def probe_parts(job: Job[Parts], names: Sequence[str], *, least: int | None = None) -> list[ImageInfo]:
    """Return what the headers of the images `names` declare, before a pixel is decoded.

    Sides are `limits.image_side_minimum` pixels long at least, or `least` where a task takes smaller ones.

    Raises:
        MaskgateError: as `probe`, pointing at the part.
    """
    limits = job.services.settings.limits
    image_limits = ImageLimits(limits.image_pixels, limits.image_side, least or limits.image_side_minimum)

    def probe_part(name: str) -> ImageInfo:
        with naming_part(name):
            return probe(job.body[name], image_limits)

    return await job.run("decode", lambda: [probe_part(name) for name in names])


async def decode_part(job: Job[Parts], name: str, info: ImageInfo) -> DecodedImage:
    """Return the image `name`, of which `probe_parts` returned `info`.

    Raises:
        MaskgateError: as `decode`, pointing at the part.
    """
    with naming_part(name), job.reservation.holding(info.working_bytes):
        image = await job.run("decode", decode, job.body[name], info)
    job.services.telemetry.images_decoded.inc()
    return image


def digest_of(image: bytes | memoryview) -> str:
    """Return the SHA-256 of an image as it was sent."""
    return f"sha256:{hashlib.sha256(image).hexdigest()}"


def model_headers(model: Model) -> dict[str, str]:
    """Return the headers that say which model answered."""
    headers = {
        "Maskgate-Model": model.name,
        "Maskgate-Version": str(model.version),
        "Maskgate-Digest": model.digest,
    }
    if parts := model.parts:
        headers["Maskgate-Parts"] = ", ".join(f"{part.name} {part.version} {part.digest}" for part in parts)
    return headers


def notice_headers(notices: Sequence[str]) -> dict[str, str]:
    """Return the header that carries notices where the body has no room for them, if there are any."""
    return {"Maskgate-Notices": "; ".join(notices).replace("×", "x")} if notices else {}
