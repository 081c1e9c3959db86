"""`inference.GRPCInferenceService`: the Open Inference Protocol by gRPC, over whatever engine is wired.

Each call goes the way of a request by HTTP: its key is asked for before a byte of its message is read, its bytes are
reserved before they are there, it waits for its turn, keeps its deadline, and is counted, logged and audited.

Every call is handled as one of streams, which on the wire is the same: so it is our code that says when its message is
read, and knows when its answer was taken.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any

import grpc
from starlette.datastructures import Headers
from tritonclient.grpc import service_pb2

from gateway.access.keys import PUBLIC, Caller, Tenants, check_scope, costs
from gateway.access.quotas import Account, Quotas
from gateway.engines.base import Model
from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    CallerLeft,
    DeadlineExceeded,
    Internal,
    MaskgateError,
    Overloaded,
    Unavailable,
    UploadTooSlow,
)
from gateway.http.edges import key_of
from gateway.http.middleware import REQUEST_ID, AuditEntry, record
from gateway.http.request_path import Job, Services, deadline_of, lane_of, model_headers
from gateway.observability import logs
from gateway.observability.tracing import Tracer
from gateway.oip import messages, served
from gateway.oip.rpc_calls import METHODS, SERVICE, Call, Method, leaving_callers, traced
from gateway.scheduling.prices import Kind
from gateway.scheduling.timeline import Timeline
from gateway.settings import LimitSettings, ServerSettings

_log = logging.getLogger(__name__)

_RECEIVED_AT_ONCE = 8
_LONGEST = 64 * 1024
"""Bytes of a message that is none of inference."""

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class InferenceRpc:
    """Answers the calls of the service.

    Args:
        services: of the app.
        tenants: whose keys are known.
        quotas: what each has asked for, by HTTP too.
        tracer: of what is asked for with a key; None: of nothing.
    """

    def __init__(self, services: Services, tenants: Tenants, quotas: Quotas, tracer: Tracer | None) -> None:
        """Answer nothing yet."""
        self._tracer = tracer
        self._services = services
        self._tenants = tenants
        self._quotas = quotas
        self._limits = services.settings.limits
        self._longest = longest_message(self._limits)
        self._receiving = asyncio.Semaphore(_RECEIVED_AT_ONCE)
        share = _RECEIVED_AT_ONCE // 2 if len(services.settings.auth.keys) > 1 else _RECEIVED_AT_ONCE
        self._shares: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(share))

    def handler(self) -> Any:
        """Return what gRPC asks for each call."""

        def handle(name: str, needed: str | None, answer: Callable[[Call], Awaitable[None]]) -> Any:
            async def behaviour(_: Any, context: Any) -> None:
                await self._serve(name, needed, answer, context)

            return grpc.stream_stream_rpc_method_handler(behaviour)

        handlers = {name: handle(name, m.needed, self._answering(m)) for name, m in METHODS.items()}
        handlers["ModelInfer"] = handle("ModelInfer", "infer", self._infer)
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def _serve(
        self, name: str, needed: str | None, answer: Callable[[Call], Awaitable[None]], context: Any
    ) -> None:
        """Answer one call, and count, log and audit it."""
        start = time.perf_counter()
        headers = Headers(raw=[(k.encode(), v if isinstance(v, bytes) else v.encode()) for k, v in _sent(context)])
        offered = headers.get("x-request-id", "")
        call = Call(context, headers, offered if REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex)
        logs.request_id.set(call.request_id)
        failure: MaskgateError | None = None
        try:
            with ExitStack() as counted:
                if needed is not None:
                    counted.enter_context(traced(self._tracer, call, name))
                    call.caller = caller = self._tenants.of(key_of(headers))
                    check_scope(caller, needed)
                    if costs(needed) and caller.is_limited:
                        account = self._quotas.of(caller)
                        counted.enter_context(account.request())
                        counted.push(_giving_back(account))
                await answer(call)
        except MaskgateError as error:
            failure = error
        except asyncio.CancelledError:
            call.status, call.reason = CallerLeft.status, CallerLeft.code
            raise
        except Exception as error:
            stack = logs.where(error)
            _log.error("call %s failed: %s", call.request_id, stack, extra={"fields": {"stack": stack}})
            failure = Internal("The gateway failed; its log has the request id.")
        finally:
            if failure is not None:
                call.status, call.reason = failure.status, failure.code
            record(self._services.telemetry, _entry(call, name, needed, time.perf_counter() - start))
        trailing = [("x-request-id", call.request_id), *((k.lower(), v) for k, v in call.told.items())]
        if failure is None:
            context.set_trailing_metadata(tuple(trailing))
            return
        trailing.append(("maskgate-code", failure.code))
        if failure.retry_after is not None:
            trailing.append(("retry-after", str(failure.retry_after)))
        code = _CODES.get(failure.status, grpc.StatusCode.INTERNAL)
        if isinstance(failure, CallerLeft):
            # gRPC ends such a call by itself; a status has no way to the caller any more.
            raise asyncio.CancelledError
        try:
            with leaving_callers():
                await context.abort(code, failure.detail, tuple(trailing))
        except CallerLeft as left:
            raise asyncio.CancelledError from left

    def _answering(self, method: Method) -> Callable[[Call], Awaitable[None]]:
        """Return what answers calls whose messages are short."""

        async def answer(call: Call) -> None:
            asked = None
            if method.asked is not None:
                with ExitStack() as room:
                    message = await self._receive(call, room)
                if len(message) > _LONGEST:
                    raise BodyTooLarge(f"The message may have {_LONGEST} bytes.", limit=_LONGEST)
                asked = messages.parse(method.asked, message)
            answered = await method.answer(self._services, call, asked)
            await call.send(answered.SerializeToString(), self._limits.upload_seconds)

        return answer

    async def _infer(self, call: Call) -> None:
        """Answer a call of `ModelInfer`; see `gateway.oip.route.infer`."""
        services, caller = self._services, call.caller
        assert caller is not None  # noqa: S101 - a call that needs a scope has one
        timeline = self._timeline(call, caller)
        try:
            with ExitStack() as held:
                with ExitStack() as room, timeline.measure("receive"):
                    message = await self._receive(call, room)
                    parsed, raw = messages.split(message)
                    asked = messages.InferMessage(messages.parse(service_pb2.ModelInferRequest, parsed), raw)
                    model = served.find(
                        services, asked.message.model_name, asked.message.model_version or None
                    ).to_infer()
                    call.model = model.name
                    reservation = held.enter_context(
                        services.admission.admit(Kind("infer", model.name), len(message), timeline)
                    )
                    reservation.grow(len(message) + messages.AMPLIFIED * len(parsed))
                held.enter_context(services.telemetry.task("infer", timeline))
                reservation.received()
                job = Job(services, asked, timeline, reservation)
                with reservation.learning(timeline):
                    answer = await self._inferred(job, model)
                # The message is let go when the work is done, and not when its answer has been sent.
                del job, asked, message, parsed, raw
                call.told = model_headers(model)
                reservation.shrink(len(answer))
                with timeline.measure("send"):
                    await call.send(answer, self._limits.upload_seconds)
        except (asyncio.CancelledError, CallerLeft):
            services.telemetry.cancelled.labels(timeline.stage).inc()
            raise

    async def _inferred(self, job: Job[messages.InferMessage], model: Model) -> bytes:
        """Return the answer to an admitted request."""
        with self._services.statistics.counted(model, job.timeline) as counted:
            async with job.turn():
                asked, inputs = await job.run("decode", messages.read_request, job.body, model.card)
                job.reservation.expect(asked.batch)
                job.reservation.grow(asked.bytes_to_hold())
            outputs = await served.infer(job, model, asked, inputs)
            async with job.turn():
                answer: bytes = await job.run("encode", messages.write_answer, asked, model, outputs)
            counted.items += asked.batch
        return answer

    def _timeline(self, call: Call, caller: Caller) -> Timeline:
        """Return the clock of a call: gRPC's own deadline holds, and what its metadata say."""
        longest = self._limits.deadline_seconds
        seconds = deadline_of(call.headers, longest) or longest
        left = call.context.time_remaining()
        if left is not None and left <= 0:
            raise DeadlineExceeded("The call took longer than its deadline allows.")
        return Timeline(min(seconds, longest if left is None else left), lane_of(call.headers, caller))

    async def _receive(self, call: Call, room: ExitStack) -> bytes:
        """Return the message of a call.

        How long it will be nobody says: the longest is reserved until `room` is left. Few arrive at once, and of one
        tenant among several half of these, so that who sends nothing keeps no others from being served for long.

        Raises:
            BadRequest: there is none.
            Overloaded: the process holds too many bytes already, or too many messages arrive.
            UploadTooSlow: it did not come in time.
        """
        seconds, admission = self._limits.upload_stall_seconds, self._services.admission
        own = self._shares[call.caller.tenant if call.caller else PUBLIC]
        async with AsyncExitStack() as arriving:
            try:
                async with asyncio.timeout(self._limits.upload_seconds):
                    await arriving.enter_async_context(own)
                    await arriving.enter_async_context(self._receiving)
            except TimeoutError as busy:
                raise Overloaded("Too many messages are arriving.", retry_after=1) from busy
            admission.take(self._longest)
            room.callback(admission.take, -self._longest)
            try:
                async with asyncio.timeout(seconds):
                    message = await call.read()
            except TimeoutError as slow:
                raise UploadTooSlow(f"The message may take {seconds:g} seconds to arrive.") from slow
        if message is grpc.aio.EOF:
            raise BadRequest("The call has no message.")
        call.bytes_in = len(message)
        return bytes(message)


def longest_message(limits: LimitSettings) -> int:
    """Return how many bytes a message may have."""
    return min(limits.grpc_bytes, limits.body_bytes)


@asynccontextmanager
async def serving(services: Services, tenants: Tenants, quotas: Quotas, tracer: Tracer | None) -> AsyncIterator[None]:
    """Answer calls on the port of the settings while inside; calls under way then have their grace.

    Raises:
        RuntimeError: the port cannot be had.
    """
    settings, limits = services.settings.server, services.settings.limits
    server = grpc.aio.server(
        maximum_concurrent_rpcs=limits.inflight_requests,
        options=(
            ("grpc.max_receive_message_length", longest_message(limits)),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", settings.header_bytes),
            ("grpc.absolute_max_metadata_size", settings.header_bytes),
            ("grpc.max_concurrent_streams", limits.inflight_requests),
            ("grpc.max_connection_idle_ms", settings.keep_alive_seconds * 1000),
            ("grpc.server_handshake_timeout_ms", round(settings.header_seconds * 1000)),
            # What is small and swells would be reserved for by its small size.
            ("grpc.compression_enabled_algorithms_bitset", 1),
        ),
    )
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
    server.add_generic_rpc_handlers((InferenceRpc(services, tenants, quotas, tracer).handler(),))
    _listen(server, settings)
    await server.start()
    try:
        yield
    finally:
        await server.stop(settings.grace_seconds)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a line of gRPC tells more than that a caller left before the status of its answer was sent."""
    return "ExecuteBatchError raised in core" not in record.getMessage()


def _listen(server: Any, settings: ServerSettings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    if settings.tls_certificate is None:
        server.add_insecure_port(address)
        return
    certificate = settings.tls_certificate.read_bytes()
    key = (settings.tls_key or settings.tls_certificate).read_bytes()
    authorities = None if settings.tls_clients is None else settings.tls_clients.read_bytes()
    server.add_secure_port(
        address, grpc.ssl_server_credentials([(key, certificate)], authorities, authorities is not None)
    )


def _giving_back(account: Account) -> Callable[..., None]:
    """Return what lets a call count for nothing that there was no room for."""

    def on_exit(kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Unavailable):
            account.give_back()

    return on_exit


def _sent(context: Any) -> Iterator[tuple[str, str | bytes]]:
    yield from (context.invocation_metadata() or ())


def _entry(call: Call, name: str, needed: str | None, seconds: float) -> AuditEntry:
    return AuditEntry(
        request_id=call.request_id,
        tenant=call.caller.tenant if call.caller else None,
        scope=needed,
        method="POST",
        route=f"/{SERVICE}/{name}",
        model=call.model,
        status=call.status,
        reason=call.reason,
        bytes_in=call.bytes_in,
        bytes_out=call.bytes_out,
        seconds=round(seconds, 6),
    )
