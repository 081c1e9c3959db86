"""Connections of a shared socket: each process takes its share, and nobody waits for one that takes none."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.observability.place import Place, SharedMemory, Tally, tallies
from gateway.server import accepting
from gateway.server.accepting import PATIENCE_SECONDS, Acceptor
from gateway.server.listening import listen

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Counted(asyncio.Protocol):
    """Counts itself, as the gateway's protocol does, and says who took the connection."""

    connections: Tally
    number: int
    made: list[int]
    transport: asyncio.BaseTransport | None = field(default=None, init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connections.add(1)
        self.made.append(self.number)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.add(-1)


class Crew:
    """Processes that share a socket, all in one event loop."""

    def __init__(self, count: int, *, beating: int | None = None) -> None:
        memory = SharedMemory.create(count)
        self.places = [Place(number, memory) for number in range(count)]
        for place in self.places[: count if beating is None else beating]:
            place.beat()
        [self.socket] = listen("127.0.0.1", 0)
        self.made: list[int] = []
        self.servers: list[accepting._Server] = []
        self.opened: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Crew:
        return self

    async def __aexit__(self, *exception: object) -> None:
        for writer in self.opened:
            writer.close()
            await writer.wait_closed()
        await until(lambda: not any(tallies(place).connections.own for place in self.places))
        for server in self.servers:
            server.close()
        self.socket.close()

    def factory(self, number: int) -> Callable[[], asyncio.Protocol]:
        connections = tallies(self.places[number]).connections
        return lambda: Counted(connections, number, self.made)

    async def serve(self, number: int) -> accepting._Server:
        acceptor = Acceptor(self.places[number], tallies(self.places[number]).connections)
        shared = socket.socket(fileno=socket.dup(self.socket.fileno()))
        self.servers.append(await acceptor.create_server(self.factory(number), sock=shared, backlog=64))
        return self.servers[-1]

    async def connect(self, count: int) -> list[asyncio.StreamWriter]:
        host, port = self.socket.getsockname()
        before = len(self.made)
        opened = [(await asyncio.open_connection(host, port))[1] for _ in range(count)]
        self.opened += opened
        await until(lambda: len(self.made) == before + count)
        return opened


async def until(held: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not held():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.001)


async def test_connections_that_come_at_once_are_spread_evenly() -> None:
    async with Crew(2) as crew:
        for number in range(2):
            await crew.serve(number)
        await crew.connect(8)
        assert sorted(crew.made) == [0] * 4 + [1] * 4


async def test_whoever_lost_connections_gets_the_next() -> None:
    async with Crew(2) as crew:
        for number in range(2):
            await crew.serve(number)
        opened = await crew.connect(6)
        leaving = [number for number, taken in enumerate(crew.made) if taken == 0]
        for number in leaving:
            opened[number].close()
        connections = tallies(crew.places[0]).connections
        await until(lambda: connections.own == 0)
        await crew.connect(3)
        assert crew.made[6:] == [0, 0, 0]


async def test_one_that_takes_none_is_not_waited_for_long() -> None:
    async with Crew(2) as crew:
        await crew.serve(0)
        began = time.monotonic()
        await crew.connect(3)
        assert crew.made == [0, 0, 0]
        assert time.monotonic() - began < 3 * PATIENCE_SECONDS + 2


async def test_one_that_is_not_there_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "PATIENCE_SECONDS", 60.0)
    async with Crew(2, beating=1) as crew:
        await crew.serve(0)
        await crew.connect(3)


async def test_who_closes_leaves_the_socket_to_the_others() -> None:
    async with Crew(2) as crew:
        first, _ = [await crew.serve(number) for number in range(2)]
        first.close()
        await first.wait_closed()
        await crew.connect(4)
        assert crew.made == [1] * 4


async def test_descriptors_that_ran_out_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "_EXHAUSTED_SECONDS", 0.05)
    async with Crew(1) as crew:
        failures = [OSError(errno.EMFILE, "Too many open files")] * 2

        class Short(socket.socket):
            def accept(self) -> tuple[socket.socket, object]:
                if failures:
                    raise failures.pop()
                return super().accept()

        acceptor = Acceptor(crew.places[0], tallies(crew.places[0]).connections)
        shared = Short(fileno=socket.dup(crew.socket.fileno()))
        with caplog.at_level(logging.ERROR):
            crew.servers.append(await acceptor.create_server(crew.factory(0), sock=shared, backlog=64))
            await crew.connect(1)
        assert [record.getMessage() for record in caplog.records] == [
            "no connection can be taken for 0 s: Too many open files"
        ] * 2
