"""The blocking client and the asynchronous one. What their calls send, the rooms of the tasks say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import httpx

from maskgate_client import service
from maskgate_client.call import Call
from maskgate_client.connection import DEFAULT_URL, Retry, arguments, options, unreachable
from maskgate_client.errors import Busy, MaskgateError
from maskgate_client.jobs import protocol as job_calls
from maskgate_client.jobs.handle import AsyncJob, Job, submitting, submitting_async
from maskgate_client.methods import awaited, blocking
from maskgate_client.progress import PATIENCE, Progress, followed, followed_async
from maskgate_client.tasks.ct import protocol as ct_calls
from maskgate_client.tasks.damage import protocol as damage_calls
from maskgate_client.tasks.generic import protocol as generic_calls
from maskgate_client.tasks.interactive import protocol as interactive_calls
from maskgate_client.tasks.interactive.sessions import awaited_session, blocking_session
from maskgate_client.tasks.land import protocol as land_calls
from maskgate_client.tasks.radiograph import protocol as radiograph_calls
from maskgate_client.tasks.restore import protocol as restore_calls
from maskgate_client.tasks.waste import protocol as waste_calls

T = TypeVar("T")


class Client:
    """Calls a gateway and waits for each answer; may be shared by threads.

    Every call raises `Problem` (the gateway says why not), `Unreachable` or `UnexpectedAnswer`; those with images
    also `OSError` (a file cannot be read), `ValueError` and `TypeError` (pixels that are no `ImageInput`). Of a model,
    its newest version that is ready answers, unless one is named.

    Args:
        base_url: address of the gateway.
        key: whose calls these are, where the gateway asks for one; sent to `base_url` alone.
        timeout: seconds to wait for an answer once connected; the default outlasts the gateway's own deadline.
        retry: patience with a busy gateway.
        transport: how requests travel, for tests and special networks.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = 630.0,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first call."""
        self._http = httpx.Client(transport=transport, **options(base_url, timeout, key))
        self._retry = retry or Retry()

    damage = blocking(damage_calls.damage)
    damage_report = blocking(damage_calls.damage_report)
    damage_overlay = blocking(damage_calls.damage_overlay)
    damage_scene = blocking(damage_calls.damage_scene)
    damage_file = blocking(damage_calls.damage_file)
    segment = blocking(interactive_calls.segment)
    interactive = blocking_session(interactive_calls.interactive)
    ct = blocking(ct_calls.ct)
    ct_segmentation = blocking(ct_calls.ct_segmentation)
    radiograph = blocking(radiograph_calls.radiograph)
    waste = blocking(waste_calls.waste)
    land = blocking(land_calls.land)
    land_file = blocking(land_calls.land_file)
    restore = blocking(restore_calls.restore)
    restore_file = blocking(restore_calls.restore_file)
    tasks = blocking(service.tasks)
    ask = blocking(generic_calls.ask)
    submit = submitting(job_calls.submit)
    jobs = blocking(job_calls.jobs)
    models = blocking(service.models)
    card = blocking(service.card)
    ready = blocking(service.ready)

    def job(self, id: str) -> Job:
        """Return a job that was left before, perhaps by another program; nothing is sent yet."""
        return Job(self, id)

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
        if call.progress is None:
            answer = self._carry(call)
        else:
            with followed(partial(self._far, call.request_id), call.progress):
                answer = self._carry(call)
        return answer if call.then is None else self._send(call.then(answer))

    def _far(self, request_id: str) -> Progress | None:
        asked = service.progress(request_id)
        with suppress(httpx.RequestError, MaskgateError):
            return asked.result(self._http.request(**arguments(asked), timeout=PATIENCE))
        return None

    @contextmanager
    def _lines(self, call: Call[None]) -> Iterator[Iterator[str]]:
        try:
            with self._http.stream(**arguments(call)) as response:
                if response.status_code != 200:
                    response.read()
                call.result(response)
                yield response.iter_lines()
        except httpx.RequestError as error:
            raise unreachable(self._http.base_url, error) from error

    def _carry(self, call: Call[T]) -> T:
        attempt = 1
        while True:
            try:
                return call.result(self._http.request(**arguments(call)))
            except httpx.RequestError as error:
                raise unreachable(self._http.base_url, error) from error
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
        key: str | None = None,
        timeout: float = 630.0,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first call."""
        self._http = httpx.AsyncClient(transport=transport, **options(base_url, timeout, key))
        self._retry = retry or Retry()

    damage = awaited(damage_calls.damage)
    damage_report = awaited(damage_calls.damage_report)
    damage_overlay = awaited(damage_calls.damage_overlay)
    damage_scene = awaited(damage_calls.damage_scene)
    damage_file = awaited(damage_calls.damage_file)
    segment = awaited(interactive_calls.segment)
    interactive = awaited_session(interactive_calls.interactive)
    ct = awaited(ct_calls.ct)
    ct_segmentation = awaited(ct_calls.ct_segmentation)
    radiograph = awaited(radiograph_calls.radiograph)
    waste = awaited(waste_calls.waste)
    land = awaited(land_calls.land)
    land_file = awaited(land_calls.land_file)
    restore = awaited(restore_calls.restore)
    restore_file = awaited(restore_calls.restore_file)
    tasks = awaited(service.tasks)
    ask = awaited(generic_calls.ask)
    submit = submitting_async(job_calls.submit)
    jobs = awaited(job_calls.jobs)
    models = awaited(service.models)
    card = awaited(service.card)
    ready = awaited(service.ready)

    def job(self, id: str) -> AsyncJob:
        """Return a job that was left before, perhaps by another program; nothing is sent yet."""
        return AsyncJob(self, id)

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
        if call.progress is None:
            answer = await self._carry(call)
        else:
            async with followed_async(partial(self._far, call.request_id), call.progress):
                answer = await self._carry(call)
        return answer if call.then is None else await self._send(await asyncio.to_thread(call.then, answer))

    async def _far(self, request_id: str) -> Progress | None:
        asked = service.progress(request_id)
        with suppress(httpx.RequestError, MaskgateError):
            return asked.result(await self._http.request(**arguments(asked), timeout=PATIENCE))
        return None

    @asynccontextmanager
    async def _lines(self, call: Call[None]) -> AsyncIterator[AsyncIterator[str]]:
        try:
            async with self._http.stream(**arguments(call)) as response:
                if response.status_code != 200:
                    await response.aread()
                call.result(response)
                yield response.aiter_lines()
        except httpx.RequestError as error:
            raise unreachable(self._http.base_url, error) from error

    async def _carry(self, call: Call[T]) -> T:
        attempt = 1
        while True:
            try:
                response = await self._http.request(**arguments(call))
                return await asyncio.to_thread(call.result, response)
            except httpx.RequestError as error:
                raise unreachable(self._http.base_url, error) from error
            except Busy as problem:
                wait = self._retry.wait(problem, attempt)
                if wait is None:
                    raise
            await asyncio.sleep(wait)
            attempt += 1
