"""How tensors travel to Triton: in the messages, or through memory that both processes map."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

import numpy as np
from tritonclient.grpc import service_pb2

from gateway.engines.triton.rpc import Call, Channel
from gateway.errors import Internal
from gateway.scheduling.threads import Threads

T = TypeVar("T")
Name = Literal["shared-memory", "binary"]


class Transport(Protocol):
    """Carries one call to the server and its answer back."""

    name: Name

    async def infer(self, call: Call, seconds: float) -> None:
        """Run `call` and write the answer into its `outputs`.

        Raises:
            RpcError: Triton refused, was not there, or took longer than `seconds`.
            Internal: the answer is not what the card says.
        """


class Binary:
    """Tensors as bytes within the messages: works with any server.

    Args:
        channel: the connection.
        threads: where messages are built and read.
    """

    name: Name = "binary"

    def __init__(self, channel: Channel, threads: Threads) -> None:
        """Open nothing."""
        self._channel = channel
        self._threads = threads

    async def infer(self, call: Call, seconds: float) -> None:
        """Run `call`; see `Transport.infer`."""
        request = await in_thread(self._threads, _serialise, call, seconds)
        answer = await self._channel.infer(request, seconds)
        await in_thread(self._threads, _read, call, answer)


async def in_thread(threads: Threads, function: Callable[..., T], *arguments: object) -> T:
    """Return `function(*arguments)` from a thread; when cancelled, wait first for it to let go of its arrays."""
    running = asyncio.ensure_future(threads.call(function, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _serialise(call: Call, seconds: float) -> bytes:
    request = call.message(seconds)
    request.raw_input_contents.extend(array.tobytes() for array in call.inputs.values())
    data: bytes = request.SerializeToString()
    return data


def _read(call: Call, data: bytes) -> None:
    answer = service_pb2.ModelInferResponse.FromString(data)
    call.check(answer)
    if len(answer.raw_output_contents) != len(answer.outputs):
        raise Internal("The model's answer lacks a tensor.")
    for tensor, content in zip(answer.outputs, answer.raw_output_contents, strict=True):
        target = call.outputs[tensor.name]
        if len(content) != target.nbytes:
            raise Internal("The model's answer is not as long as it says.")
        np.copyto(target, np.frombuffer(content, target.dtype).reshape(target.shape))
