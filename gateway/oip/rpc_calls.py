"""The calls of the gRPC service whose messages are short: health, metadata, configuration, statistics, repository."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from starlette.datastructures import Headers
from tritonclient.grpc import service_pb2

from gateway.access.keys import ANY, Caller
from gateway.errors import CallerLeft, MaskgateError, Unprocessable
from gateway.http.request_path import Services
from gateway.http.service import readiness
from gateway.observability.tracing import Tracer, within
from gateway.oip import messages, served

SERVICE = "inference.GRPCInferenceService"


@contextmanager
def leaving_callers() -> Iterator[None]:
    """Raise CallerLeft for what gRPC raises inside because the call is over."""
    try:
        yield
    except grpc.aio.InternalError as over:
        raise CallerLeft("The caller has gone.") from over


@dataclass
class Call:
    """One call, and what is known of it when it ends."""

    context: Any
    headers: Headers
    request_id: str
    caller: Caller | None = None
    model: str | None = None
    status: int = 200
    reason: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    told: dict[str, str] = field(default_factory=dict)

    async def read(self) -> Any:
        """Return the next message, or `grpc.aio.EOF`.

        Raises:
            CallerLeft: the caller has gone.
        """
        with leaving_callers():
            return await self.context.read()

    async def send(self, answer: bytes, seconds: float) -> None:
        """Send the answer, and return when the caller has it but for what is on its way.

        Raises:
            CallerLeft: it was not taken in time, or the caller has gone.
        """
        try:
            with leaving_callers():
                async with asyncio.timeout(seconds):
                    await self.context.write(answer)
        except TimeoutError as slow:
            raise CallerLeft("The caller did not read the answer.") from slow
        self.bytes_out = len(answer)


@contextmanager
def traced(tracer: Tracer | None, call: Call, method: str) -> Iterator[None]:
    """Begin or continue a trace with a call, as requests by HTTP do; its span ends failed where the call is refused."""
    span = tracer and tracer.begin(method, call.headers.getlist("traceparent"))
    told: dict[str, str | int] = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": method}
    # A call may begin in the context that another one has left.
    with within(span or None):
        try:
            yield
        except MaskgateError as error:
            told["maskgate.problem"] = error.code
            raise
        finally:
            if span:
                span.name(f"{SERVICE}/{method}", told)


Answer = Callable[[Services, Call, Any], Awaitable[Any]]


@dataclass(frozen=True)
class Method:
    """What one call of the service is.

    Attributes:
        needed: scope that its key has to have, or `ANY`; None: it takes no key.
        asked: kind of its message; None: that says nothing, and is not read.
        answer: returns the message that it is answered with.
    """

    needed: str | None
    asked: Any
    answer: Answer


async def _live(services: Services, call: Call, asked: Any) -> Any:
    return service_pb2.ServerLiveResponse(live=True)


async def _ready(services: Services, call: Call, asked: Any) -> Any:
    return service_pb2.ServerReadyResponse(ready=readiness(services).ready)


async def _model_ready(services: Services, call: Call, asked: Any) -> Any:
    return service_pb2.ModelReadyResponse(ready=_find(services, asked.name, asked.version).ready)


async def _server_metadata(services: Services, call: Call, asked: Any) -> Any:
    return messages.server_metadata()


async def _metadata(services: Services, call: Call, asked: Any) -> Any:
    return messages.metadata(_find(services, asked.name, asked.version))


async def _config(services: Services, call: Call, asked: Any) -> Any:
    return messages.config(_find(services, asked.name, asked.version))


async def _statistics(services: Services, call: Call, asked: Any) -> Any:
    models = served.versions(services, asked.name or None, asked.version or None)
    return messages.statistics([(model, services.statistics.of(model)) for model in models])


async def _index(services: Services, call: Call, asked: Any) -> Any:
    return messages.index(served.index(services, asked.ready))


async def _load(services: Services, call: Call, asked: Any) -> Any:
    if asked.parameters:
        raise Unprocessable("Models are loaded as they lie in the repository, without parameters.")
    await served.load(services, asked.model_name)
    return service_pb2.RepositoryModelLoadResponse()


async def _unload(services: Services, call: Call, asked: Any) -> Any:
    await served.unload(services, asked.model_name)
    return service_pb2.RepositoryModelUnloadResponse()


def _find(services: Services, name: str, version: str) -> served.Served:
    return served.find(services, name, version or None)


METHODS = {
    "ServerLive": Method(None, None, _live),
    "ServerReady": Method(None, None, _ready),
    "ServerMetadata": Method(ANY, None, _server_metadata),
    "ModelReady": Method(ANY, service_pb2.ModelReadyRequest, _model_ready),
    "ModelMetadata": Method(ANY, service_pb2.ModelMetadataRequest, _metadata),
    "ModelConfig": Method(ANY, service_pb2.ModelConfigRequest, _config),
    "ModelStatistics": Method(ANY, service_pb2.ModelStatisticsRequest, _statistics),
    "RepositoryIndex": Method("admin", service_pb2.RepositoryIndexRequest, _index),
    "RepositoryModelLoad": Method("admin", service_pb2.RepositoryModelLoadRequest, _load),
    "RepositoryModelUnload": Method("admin", service_pb2.RepositoryModelUnloadRequest, _unload),
}
