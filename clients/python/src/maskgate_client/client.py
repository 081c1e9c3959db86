"""The two clients: the same calls over a blocking and over an asynchronous connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from maskgate_client import protocol
from maskgate_client.answers import DamageMap, DamageReport, ModelCard, ModelStatus, Picture
from maskgate_client.errors import Busy, Unreachable
from maskgate_client.images import ImageInput
from maskgate_client.protocol import DEFAULT_URL, Call
from maskgate_client.retry import Retry
from maskgate_client.version import __version__

T = TypeVar("T")

_HEADERS = {"user-agent": f"maskgate-client/{__version__}"}
_CONNECT_SECONDS = 5.0


class Client:
    """Calls a gateway and waits for each answer; may be shared by threads.

    Every call raises `Problem` (the gateway says why not), `Unreachable` or `UnexpectedAnswer`; those with images
    also `OSError` (a file cannot be read) and `ValueError` (an array is not uint8 (height, width, 3)). Of a model, its
    newest version that is ready answers, unless one is named.

    Args:
        base_url: address of the gateway.
        timeout: seconds to wait for an answer once connected; the default outlasts the gateway's own deadline.
        retry: patience with a busy gateway.
        transport: how requests travel, for tests and special networks.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        timeout: float = 630.0,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first call."""
        limits = httpx.Timeout(timeout, connect=_CONNECT_SECONDS)
        self._http = httpx.Client(base_url=base_url, timeout=limits, transport=transport, headers=_HEADERS)
        self._retry = retry or Retry()

    def damage(
        self, pre: ImageInput, post: ImageInput, *, model: str | None = None, version: int | None = None
    ) -> DamageMap:
        """Return the label map of a pair; without `model` the gateway's default answers."""
        return self._send(protocol.damage(pre, post, model, version))

    def damage_report(
        self,
        pre: ImageInput,
        post: ImageInput,
        *,
        model: str | None = None,
        version: int | None = None,
        include: Sequence[Picture] = (),
    ) -> DamageReport:
        """Return the buildings of a pair and the share of each class, and the pictures to `include` at no extra run."""
        return self._send(protocol.damage_report(pre, post, model, version, include))

    def damage_overlay(
        self, pre: ImageInput, post: ImageInput, *, model: str | None = None, version: int | None = None
    ) -> bytes:
        """Return a PNG file: the label map drawn over the post image."""
        return self._send(protocol.damage_overlay(pre, post, model, version))

    def models(self) -> tuple[ModelStatus, ...]:
        """Return the models the gateway knows."""
        return self._send(protocol.models())

    def card(self, name: str) -> ModelCard:
        """Return the card of the model `name`."""
        return self._send(protocol.card(name))

    def ready(self) -> bool:
        """Return whether the gateway takes work now."""
        return self._send(protocol.ready())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client itself; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def _send(self, call: Call[T]) -> T:
        attempt = 1
        while True:
            try:
                return call.result(self._http.request(**_arguments(call)))
            except httpx.RequestError as error:
                raise _unreachable(self._http.base_url, error) from error
            except Busy as problem:
                wait = self._retry.wait(problem, attempt)
                if wait is None:
                    raise
            time.sleep(wait)
            attempt += 1


class AsyncClient:
    """`Client` for asyncio: the same calls, arguments, answers and errors, awaited.

    Files are read, and images encoded and decoded, in threads: the event loop keeps turning.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        timeout: float = 630.0,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first call."""
        limits = httpx.Timeout(timeout, connect=_CONNECT_SECONDS)
        self._http = httpx.AsyncClient(base_url=base_url, timeout=limits, transport=transport, headers=_HEADERS)
        self._retry = retry or Retry()

    async def damage(
        self, pre: ImageInput, post: ImageInput, *, model: str | None = None, version: int | None = None
    ) -> DamageMap:
        """Return the label map of a pair; without `model` the gateway's default answers."""
        return await self._send(await asyncio.to_thread(protocol.damage, pre, post, model, version))

    async def damage_report(
        self,
        pre: ImageInput,
        post: ImageInput,
        *,
        model: str | None = None,
        version: int | None = None,
        include: Sequence[Picture] = (),
    ) -> DamageReport:
        """Return the buildings of a pair and the share of each class, and the pictures to `include` at no extra run."""
        return await self._send(await asyncio.to_thread(protocol.damage_report, pre, post, model, version, include))

    async def damage_overlay(
        self, pre: ImageInput, post: ImageInput, *, model: str | None = None, version: int | None = None
    ) -> bytes:
        """Return a PNG file: the label map drawn over the post image."""
        return await self._send(await asyncio.to_thread(protocol.damage_overlay, pre, post, model, version))

    async def models(self) -> tuple[ModelStatus, ...]:
        """Return the models the gateway knows."""
        return await self._send(protocol.models())

    async def card(self, name: str) -> ModelCard:
        """Return the card of the model `name`."""
        return await self._send(protocol.card(name))

    async def ready(self) -> bool:
        """Return whether the gateway takes work now."""
        return await self._send(protocol.ready())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client itself; leaving the block closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def _send(self, call: Call[T]) -> T:
        attempt = 1
        while True:
            try:
                response = await self._http.request(**_arguments(call))
                return await asyncio.to_thread(call.result, response)
            except httpx.RequestError as error:
                raise _unreachable(self._http.base_url, error) from error
            except Busy as problem:
                wait = self._retry.wait(problem, attempt)
                if wait is None:
                    raise
            await asyncio.sleep(wait)
            attempt += 1


def _arguments(call: Call[Any]) -> dict[str, Any]:
    """Return `call` as the arguments of httpx's `request`."""
    headers = {"accept": call.accept}
    return {"method": call.method, "url": call.path, "params": call.params, "headers": headers, "files": call.files}


def _unreachable(base_url: httpx.URL, error: httpx.RequestError) -> Unreachable:
    """Return what to tell the caller when no answer came."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
        return Unreachable(f"no gateway answers at {base_url}")
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(f"the gateway at {base_url} did not answer in time")
    return Unreachable(f"the connection to {base_url} broke before the answer was complete")
