"""Callers that cost little: kept connections, requests prepared once, arrivals that wait for nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True)
class Answer:
    """What a caller got, and when.

    Attributes:
        status: of HTTP; 0 where the connection ended before it.
        start: monotonic seconds when the request was due.
        seconds: from then to the last byte of its answer.
    """

    status: int
    start: float
    seconds: float


class _Connection(asyncio.Protocol):
    """One connection, one request at a time; of an answer nothing is kept but its status."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[int] | None = None
        self._head = b""
        self._left = 0
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            head, found, body = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.lower().split(b"\r\n")
            self._status = int(lines[0].split()[1])
            length = next(line for line in lines if line.startswith(b"content-length:"))
            self._left, self._head = int(length.partition(b":")[2]) - len(body), b""
        if self._left == 0 and self.answered is not None:
            self.answered.set_result(self._status)
            self.answered = None

    def connection_lost(self, error: Exception | None) -> None:
        if self.answered is not None:
            self.answered.set_exception(error or ConnectionResetError("the gateway closed a connection in use"))
            self.answered = None


class Callers:
    """Sends one request over and over, on as many connections as are needed at once.

    Args:
        address: of the gateway.
        path: with its query.
        headers: of every request.
        body: of every request.
    """

    def __init__(self, address: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Connect to nothing yet."""
        place = urlsplit(address)
        self._host, self._port = place.hostname or "", place.port or 80
        self._body = body
        fixed = {"Host": place.netloc, "Content-Length": str(len(body)), **headers}
        self._head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._idle: list[_Connection] = []

    async def call(self, due: float, **headers: object) -> Answer:
        """Return the answer to a request that was due at a time, with more `headers` (`_` for `-`)."""
        connection = self._kept() or await self._connect()
        transport = connection.transport
        assert transport is not None
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        answered = connection.answered = asyncio.get_running_loop().create_future()
        transport.writelines([f"{self._head}{more}\r\n".encode(), self._body])
        try:
            status = await answered
        except ConnectionError:
            return Answer(0, due, time.monotonic() - due)
        self._idle.append(connection)
        return Answer(status, due, time.monotonic() - due)

    def _kept(self) -> _Connection | None:
        """Return a connection that is open still; the gateway closes those that it will not read on from."""
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        return None

    def close(self) -> None:
        """Close every connection."""
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.close()

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return connection


async def closed_loop(call: Callable[[float], Awaitable[Answer]], callers: int, seconds: float) -> list[Answer]:
    """Return the answers that so many callers got, each of whom asks again when it is answered."""
    answers: list[Answer] = []
    end = time.monotonic() + seconds

    async def one() -> None:
        while (now := time.monotonic()) < end:
            answers.append(await call(now))

    await asyncio.gather(*(one() for _ in range(callers)))
    return answers


async def open_loop(
    call: Callable[[float], Awaitable[Answer]], per_second: float, seconds: float, seed: int = 1
) -> list[Answer]:
    """Return the answers to requests that come at random, whoever is still waiting (a Poisson process)."""
    gaps = np.random.default_rng(seed).exponential(1 / per_second, round(per_second * seconds))
    begin = time.monotonic()
    calls: list[asyncio.Task[Answer]] = []
    for due in (begin + np.cumsum(gaps)).tolist():
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        calls.append(asyncio.ensure_future(call(due)))
    return await asyncio.gather(*calls)
