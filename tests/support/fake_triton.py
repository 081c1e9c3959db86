"""A Triton in the test's own event loop, for what a real one cannot be made to show."""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.engines.triton.shared_memory import FOLDER
from tests.support.trivial import label_table, probability_table

Hook = Callable[[Any, grpc.aio.ServicerContext], Awaitable[None]]
_CLASSES = 5


async def passing(request: Any, context: grpc.aio.ServicerContext) -> None:
    """Let every request through at once."""


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # it has no annotations
    """Serves trivial models of five classes, after a `hook` that may wait or refuse.

    Args:
        models: the repository, for the configurations.

    Attributes:
        hook: what comes before the answer of an inference.
        other_hook: what comes before every other answer.
    """

    def __init__(self, models: Path) -> None:
        self._models = models
        self.port = 0
        self.hook: Hook = passing
        self.other_hook: Hook = passing
        self.version = "2.51.0"
        self.shares_memory = True
        self.writes = True  # into shared memory, where it is told to
        self.loaded = True
        self.loads_on_request = True
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.regions: dict[str, mmap.mmap] = {}
        self.requests: list[Any] = []
        self.cancelled = 0
        self.under_way = 0
        self.most_under_way = 0
        self._server: grpc.aio.Server | None = None

    @property
    def url(self) -> str:
        """Where it answers, or will."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on the port it had before, or any."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._server = grpc.aio.server(options=options)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(self.url)
        await self._server.start()

    async def stop(self) -> None:
        """Vanish, and forget what a process forgets."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        self.regions.clear()

    async def ServerLive(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        return service_pb2.ServerMetadataResponse(name="triton", version=self.version)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        return service_pb2.ModelReadyResponse(ready=self.loaded)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        if not self.loads_on_request:
            details = "explicit model load / unload is not allowed if polling is enabled"
            await context.abort(grpc.StatusCode.UNAVAILABLE, details)
        self.loads.append(request.model_name)
        return service_pb2.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        self.unloads.append(request.model_name)
        return service_pb2.RepositoryModelUnloadResponse()

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        text = (self._models / request.name / "config.pbtxt").read_text()
        return service_pb2.ModelConfigResponse(config=text_format.Parse(text, model_config_pb2.ModelConfig()))

    async def SystemSharedMemoryStatus(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        answer = service_pb2.SystemSharedMemoryStatusResponse()
        for name in self.regions:
            answer.regions[name].key = f"/{name}"
        return answer

    async def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        if not self.shares_memory:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Unable to open shared memory region")
        file = os.open(FOLDER / request.key.lstrip("/"), os.O_RDWR)
        self.regions[request.name] = mmap.mmap(file, request.byte_size)
        os.close(file)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:
        await self.other_hook(request, context)
        self.regions.pop(request.name, None)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.hook(request, context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        return await self._answer(request, context)

    async def _answer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        last = request.inputs[-1]
        if "shared_memory_region" in last.parameters:
            name = last.parameters["shared_memory_region"].string_param
            if name not in self.regions:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"Unable to find shared memory region: '{name}'")
            content = _part(self.regions[name], last)
        else:
            content = request.raw_input_contents[-1]
        green = np.frombuffer(content, np.uint8).reshape(tuple(last.shape))[..., 1]
        tables = {"label_map": label_table(_CLASSES), "probabilities": probability_table(_CLASSES)}
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        for output in request.outputs:
            array = tables[output.name][green]
            answer.outputs.add(name=output.name, datatype="UINT8", shape=array.shape)
            if "shared_memory_region" in output.parameters and self.writes:
                _part(self.regions[output.parameters["shared_memory_region"].string_param], output)[:] = array.tobytes()
            else:
                answer.raw_output_contents.append(array.tobytes())
        return answer


@asynccontextmanager
async def fake_triton(models: Path) -> AsyncIterator[FakeTriton]:
    """Run a fake until the context ends."""
    fake = FakeTriton(models)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()


def refusing(code: grpc.StatusCode, details: str) -> Hook:
    """Return a hook that refuses every request."""

    async def refuse(request: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(code, details)

    return refuse


async def hanging(request: Any, context: grpc.aio.ServicerContext) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def _part(region: mmap.mmap, tensor: Any) -> memoryview:
    start = tensor.parameters["shared_memory_offset"].int64_param
    return memoryview(region)[start : start + tensor.parameters["shared_memory_byte_size"].int64_param]
