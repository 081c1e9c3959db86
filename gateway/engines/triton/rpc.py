"""Calls to Triton: tritonclient's messages on one gRPC channel, and what its refusals mean.

tritonclient's own `infer` copies each tensor three times on the event loop. Here an inference request is bytes before
the loop sees it and its answer still is when it leaves the loop, so that a thread can do both ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from grpc import StatusCode
from grpc.aio import AioRpcError, insecure_channel
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.engines.base import Model
from gateway.errors import DeadlineExceeded, Internal, MaskgateError, ModelNotReady, Overloaded
from gateway.observability import tracing

RpcError: TypeAlias = AioRpcError
T = TypeVar("T")

SHORT_SECONDS = 1.0
"""Time for a probe, and for each step of connecting. That a busy server takes longer does not say that it is gone."""

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own back-off grows to two minutes; a server that is back should be found within half a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # In spite of its name, the least time that a try to connect has: a busy server takes it up late.
    ("grpc.min_reconnect_backoff_ms", int(SHORT_SECONDS * 1000)),
    # A channel of its own, not one that another engine of the process shares.
    ("grpc.use_local_subchannel_pool", 1),
)
# Triton says these by UNAVAILABLE, as gRPC says that there is no connection.
_FULL = "maximum queue size"
_EXPIRED = "Request timeout expired"
_NOT_LOADED = "Request for unknown model"
_LOADS_NOT = "explicit model load / unload"
_DATATYPES = {"uint8": "UINT8", "int16": "INT16", "float16": "FP16", "float32": "FP32"}


@dataclass(frozen=True)
class Call:
    """One request of one batch: what goes in, and the arrays that the answer is written to.

    Inputs and outputs by tensor name, shape (N, *card shape), C-contiguous.
    """

    model: Model
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Bytes in and out."""
        return sum(array.nbytes for array in (*self.inputs.values(), *self.outputs.values()))

    def message(self, seconds: float) -> Any:
        """Return the request without its tensors' contents; Triton may hold it in its queue for `seconds`."""
        request = service_pb2.ModelInferRequest(model_name=self.model.name, model_version=str(self.model.version))
        request.parameters["timeout"].int64_param = int(seconds * 1e6)
        for name, array in self.inputs.items():
            request.inputs.add(name=name, datatype=_DATATYPES[array.dtype.name], shape=array.shape)
        for name in self.outputs:
            request.outputs.add(name=name)
        return request

    def check(self, answer: Any) -> None:
        """Check that an answer's tensors are those asked for.

        Raises:
            Internal: they are not; the model is another than its card says.
        """
        said = {tensor.name: (tensor.datatype, tuple(tensor.shape)) for tensor in answer.outputs}
        wanted = {name: (_DATATYPES[array.dtype.name], array.shape) for name, array in self.outputs.items()}
        if said != wanted:
            raise Internal("The model's answer is not what its card says.")


class Channel:
    """The process's one connection to Triton; gRPC connects it again after a break.

    Args:
        url: ``host:port`` of its gRPC service.
        answered: called whenever Triton answers, be it by a refusal.
    """

    def __init__(self, url: str, answered: Callable[[], None]) -> None:
        """Connect at the first call. Needs a running event loop."""
        self._answered = answered
        self._channel = insecure_channel(url, options=_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        # Without serialisers gRPC takes and gives bytes.
        self._infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    async def infer(self, request: bytes, seconds: float) -> bytes:
        """Return the serialised answer to a serialised request; cancelling this cancels the call.

        Raises:
            RpcError: Triton refused, was not there, or took longer than `seconds`.
        """
        span = tracing.current()
        # Triton with `--trace-config mode=opentelemetry` continues the trace.
        metadata = (("traceparent", span.traceparent),) if span else None
        answer: bytes = await self._ask(self._infer(request, timeout=seconds, metadata=metadata))
        return answer

    async def live(self) -> None:
        """Return when the server answers; raises RpcError when it does not within a second."""
        await self._ask(self._stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=SHORT_SECONDS))

    async def version(self) -> tuple[int, ...]:
        """Return the server's version, the major part first; empty where it tells none."""
        request = service_pb2.ServerMetadataRequest()
        said = (await self._ask(self._stub.ServerMetadata(request, timeout=SHORT_SECONDS))).version
        return tuple(int(part) for part in said.split(".") if part.isdecimal())

    async def model_ready(self, model: Model, seconds: float) -> bool:
        """Return whether Triton has loaded this version of the model."""
        request = service_pb2.ModelReadyRequest(name=model.name, version=str(model.version))
        return bool((await self._ask(self._stub.ModelReady(request, timeout=seconds))).ready)

    async def model_config(self, model: Model, seconds: float) -> model_config_pb2.ModelConfig:
        """Return the configuration that Triton runs this version of the model with."""
        request = service_pb2.ModelConfigRequest(name=model.name, version=str(model.version))
        return (await self._ask(self._stub.ModelConfig(request, timeout=seconds))).config

    async def load(self, name: str, seconds: float) -> None:
        """Have the server take in what has changed in a model's folder: all of it, or nothing.

        Raises:
            RpcError: it could not, or does not load on request; every version that it had still answers.
        """
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        await self._ask(self._stub.RepositoryModelLoad(request, timeout=seconds))

    async def unload(self, name: str, seconds: float) -> None:
        """Have the server let all versions of a model go; raises RpcError where it does not do so on request."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        await self._ask(self._stub.RepositoryModelUnload(request, timeout=seconds))

    async def register(self, name: str, key: str, size: int, seconds: float) -> None:
        """Have the server map a shared-memory region; one it has mapped already is no error."""
        request = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=key, byte_size=size)
        try:
            await self._ask(self._stub.SystemSharedMemoryRegister(request, timeout=seconds))
        except RpcError as error:
            if error.code() != StatusCode.ALREADY_EXISTS:
                raise

    async def unregister(self, name: str) -> None:
        """Have the server let a region go; one it does not have is no error."""
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        await self._ask(self._stub.SystemSharedMemoryUnregister(request, timeout=SHORT_SECONDS))

    async def regions(self) -> dict[str, str]:
        """Return the key of every region the server has mapped, by name, whoever registered it."""
        request = service_pb2.SystemSharedMemoryStatusRequest()
        status = await self._ask(self._stub.SystemSharedMemoryStatus(request, timeout=SHORT_SECONDS))
        return {name: region.key for name, region in status.regions.items()}

    async def close(self) -> None:
        """Cancel what is under way and disconnect."""
        await self._channel.close()

    async def _ask(self, call: Awaitable[T]) -> T:
        """Return what a call is answered with, and tell that Triton answered."""
        try:
            answer = await call
        except RpcError as error:
            if not not_answering(error):
                self._answered()
            raise
        self._answered()
        return answer


def never_sent(error: RpcError) -> bool:
    """Return whether the server cannot have seen the request: nobody listened."""
    return error.code() == StatusCode.UNAVAILABLE and "failed to connect" in (error.details() or "")


def timed_out(error: RpcError) -> bool:
    """Return whether a call was not answered in time: the server may be busy, or gone."""
    return bool(error.code() == StatusCode.DEADLINE_EXCEEDED)


def disconnected(error: RpcError) -> bool:
    """Return whether the connection was refused or broken: the server is gone, or was."""
    if error.code() not in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED):
        return False
    return not any(said in (error.details() or "") for said in (_FULL, _EXPIRED, _NOT_LOADED, _LOADS_NOT))


def not_answering(error: RpcError) -> bool:
    """Return whether a call failed because nobody answered, rather than by the server's own decision."""
    return timed_out(error) or disconnected(error)


def loads_not(error: RpcError) -> bool:
    """Return whether the server was started so that it loads nothing on request."""
    return error.code() == StatusCode.UNIMPLEMENTED or _LOADS_NOT in (error.details() or "")


def region_unknown(error: RpcError) -> bool:
    """Return whether the server refused a request because it does not have its region: it was started again."""
    return "Unable to find shared memory region" in (error.details() or "")


def process_lost(error: RpcError) -> bool:
    """Return whether Triton's Python backend has lost the process that runs the model; it starts no other by itself."""
    return "Stub process" in (error.details() or "") or "the health mutex" in (error.details() or "")


def translate(error: RpcError, model: Model) -> MaskgateError:
    """Return what a failed inference means to the caller. Triton's own words never reach them."""
    code, details = error.code(), error.details() or ""
    if timed_out(error) or _EXPIRED in details:
        return DeadlineExceeded("The deadline passed while the model ran.")
    if code == StatusCode.RESOURCE_EXHAUSTED or _FULL in details:
        return Overloaded(f"The queue of model {model.name} is full.", retry_after=1)
    if process_lost(error):
        return ModelNotReady(f"The process that runs model {model.name} is lost.", retry_after=1)
    if disconnected(error) or region_unknown(error):
        return ModelNotReady(f"Model {model.name} cannot be reached.", retry_after=1)
    if code == StatusCode.NOT_FOUND or _NOT_LOADED in details:
        return ModelNotReady(f"Model {model.name} is not loaded.", retry_after=1)
    return Internal("The model failed.")


def zeros(model: Model) -> Call:
    """Return a call of one item of zeros that asks for every output."""
    card = model.card
    return Call(
        model,
        {t.name: np.zeros((1, *t.shape), t.dtype) for t in card.inputs},
        {t.name: np.empty((1, *t.shape), t.dtype) for t in card.outputs},
    )
