"""A job as an object: left with the gateway, followed, and fetched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from maskgate_client.call import Call
from maskgate_client.errors import Unreachable
from maskgate_client.jobs import protocol
from maskgate_client.jobs.answers import JobItem, JobStatus, item_of, status_of
from maskgate_client.jobs.flow import Flow, carried, carried_async
from maskgate_client.methods import dressed
from maskgate_client.progress import Tell

P = ParamSpec("P")
T = TypeVar("T")

JobEvent = JobStatus | JobItem
"""What changed: the job, or an item of it."""


class Streams(Protocol):
    """A blocking client, as far as jobs need it."""

    def _send(self, call: Call[T]) -> T:
        """Return what the gateway answers."""

    def _lines(self, call: Call[None]) -> AbstractContextManager[Iterator[str]]:
        """Return the lines of an answer as they come."""


class AsyncStreams(Protocol):
    """An asynchronous client, as far as jobs need it."""

    async def _send(self, call: Call[T]) -> T:
        """Return what the gateway answers."""

    def _lines(self, call: Call[None]) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Return the lines of an answer as they come."""


@dataclass
class _Reader:
    """Makes events of the lines of a stream."""

    last: str | None = None
    over: bool = False
    _fields: dict[str, str] = field(default_factory=dict)

    def take(self, line: str) -> JobEvent | None:
        """Return the event that a line completes, if it does."""
        if line:
            name, _, value = line.partition(": ")
            if name:
                self._fields[name] = value
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        self.last = fields.get("id", self.last)
        document: Mapping[str, Any] = json.loads(fields["data"])
        if fields.get("event") == "item":
            return item_of(document)
        status = status_of(document)
        self.over = status.over
        return status


class _Asked:
    """What each call of a job sends."""

    def __init__(self, id: str) -> None:
        self.id = id

    def status(self) -> Flow[JobStatus]:
        """Return how the job stands."""
        return protocol.status(self.id)

    def items(self) -> Flow[tuple[JobItem, ...]]:
        """Return how each item stands."""
        return protocol.items(self.id)

    def wait(self, *, progress: Tell | None = None) -> Flow[JobStatus]:
        """Return how the job stands once it has ended; `progress` is told how many items have, meanwhile."""
        return protocol.wait(self.id, progress=progress)

    def result(self, item: JobItem) -> Flow[bytes]:
        """Return the bytes of the answer of an item that is done.

        Raises:
            ValueError: it is not done.
        """
        if item.result is None:
            raise ValueError(f"item {item.number} is {item.state} and has no result")
        return protocol.fetch(item.result)

    def cancel(self) -> Flow[JobStatus | None]:
        """End the job now: what is done stays. One that has ended is forgotten, results and all, and None returned."""
        return protocol.cancel(self.id)


def _step(make: Callable[Concatenate[_Asked, P], Flow[T]]) -> Callable[Concatenate[Job, P], T]:
    def method(self: Job, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return carried(self._client._send, make(self._asked, *args, **kwargs))

    return dressed(method, make, returns=_returned(make), bound=True)


def _awaited_step(
    make: Callable[Concatenate[_Asked, P], Flow[T]],
) -> Callable[Concatenate[AsyncJob, P], Coroutine[Any, Any, T]]:
    async def method(self: AsyncJob, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await carried_async(self._client._send, make(self._asked, *args, **kwargs))

    return dressed(method, make, returns=_returned(make), bound=True)


def _returned(make: Callable[..., Any]) -> str:
    return str(make.__annotations__["return"]).removeprefix("Flow[").removesuffix("]")


class Job:
    """A job with the gateway; `Client.submit` leaves one, and `Client.job` finds one again.

    It lives with the gateway, not with this object or this program: `id` is all that it takes to come back to it.

    Attributes:
        id: of the job.
    """

    def __init__(self, client: Streams, id: str) -> None:
        """Go on with a job that was left."""
        self.id = id
        self._asked = _Asked(id)
        self._client = client

    status = _step(_Asked.status)
    items = _step(_Asked.items)
    wait = _step(_Asked.wait)
    result = _step(_Asked.result)
    cancel = _step(_Asked.cancel)

    def results(self) -> Iterator[tuple[JobItem, bytes | None]]:
        """Yield each item and the bytes of its answer, None where it has none; of a job that has ended, all."""
        for item in self.items():
            yield item, self.result(item) if item.result else None

    def events(self) -> Iterator[JobEvent]:
        """Yield each item, and the job, whenever they change, until the job has ended; what changed before, first."""
        reader = _Reader()
        while not reader.over:
            try:
                with self._client._lines(protocol.events(self.id, reader.last)) as lines:
                    yield from filter(None, map(reader.take, lines))
            except Unreachable:
                # It broke off: the gateway restarts. Whether it does, the next answer says.
                self.status()


class AsyncJob:
    """`Job` for asyncio: the same calls, arguments, answers and errors, awaited."""

    def __init__(self, client: AsyncStreams, id: str) -> None:
        """Go on with a job that was left."""
        self.id = id
        self._asked = _Asked(id)
        self._client = client

    status = _awaited_step(_Asked.status)
    items = _awaited_step(_Asked.items)
    wait = _awaited_step(_Asked.wait)
    result = _awaited_step(_Asked.result)
    cancel = _awaited_step(_Asked.cancel)

    async def results(self) -> AsyncIterator[tuple[JobItem, bytes | None]]:
        """Yield each item and the bytes of its answer, None where it has none; of a job that has ended, all."""
        for item in await self.items():
            yield item, await self.result(item) if item.result else None

    async def events(self) -> AsyncIterator[JobEvent]:
        """Yield each item, and the job, whenever they change, until the job has ended; what changed before, first."""
        reader = _Reader()
        while not reader.over:
            try:
                async with self._client._lines(protocol.events(self.id, reader.last)) as lines:
                    async for line in lines:
                        if (event := reader.take(line)) is not None:
                            yield event
            except Unreachable:
                await self.status()


def submitting(leave: Callable[P, Flow[JobStatus]]) -> Callable[Concatenate[Streams, P], Job]:
    """Return the method of a blocking client that leaves a job."""

    def method(self: Streams, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        return Job(self, carried(self._send, leave(*args, **kwargs)).id)

    return dressed(method, leave, returns="Job")


def submitting_async(
    leave: Callable[P, Flow[JobStatus]],
) -> Callable[Concatenate[AsyncStreams, P], Coroutine[Any, Any, AsyncJob]]:
    """Return the method of an asynchronous client that leaves a job."""

    async def method(self: AsyncStreams, /, *args: P.args, **kwargs: P.kwargs) -> AsyncJob:
        return AsyncJob(self, (await carried_async(self._send, leave(*args, **kwargs))).id)

    return dressed(method, leave, returns="AsyncJob")
