"""A Redis that fails is a clear answer for sessions, and a miss for features."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from gateway.errors import SessionNotFound, SessionsFull, SessionsUnavailable
from gateway.observability.metrics import Telemetry
from gateway.sessions.features import FeatureKey, Shelf
from gateway.sessions.redis_link import RedisLink
from gateway.sessions.redis_store import RedisFeatures, RedisSessions
from gateway.sessions.store import Session, new_id
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.e2e
BUDGET = 64 * 1024 * 1024
PIXELS = np.zeros((2000, 2000, 3), np.uint8)
KEY = FeatureKey("public", "sha256:1", "encoder", "sha256:2", (0, 0, 9, 9), ())


def open_stores(url: str, timeout: float = 10) -> tuple[RedisSessions, RedisFeatures]:
    telemetry = Telemetry()
    link = RedisLink(url, 2, timeout, BUDGET, 60, telemetry)
    shelf: Shelf[str, object] = Shelf(1)
    return RedisSessions(link, shelf), RedisFeatures(link, shelf, telemetry)


def session() -> Session:
    return Session(new_id(), "public", "sha256:1", 2000, 2000, (), "click-lite0", 1, "sha256:2", None)


def calls(sessions: RedisSessions, kept: Session) -> list[Callable[[], Any]]:
    return [
        lambda: sessions.create(session(), PIXELS),
        lambda: sessions.get("public", kept.id),
        lambda: sessions.pixels(kept),
        lambda: sessions.replace(kept, kept.emptied()),
        lambda: sessions.delete(kept),
    ]


def assert_unavailable(url: str, caplog: pytest.LogCaptureFixture, timeout: float = 10) -> None:
    async def run() -> None:
        sessions, features = open_stores(url, timeout)
        for call in calls(sessions, session()):
            with pytest.raises(SessionsUnavailable) as error:
                await call()
            assert error.value.retry_after is not None
        await features.put(KEY, {"features_1": PIXELS[:1]})
        assert await features.get(KEY) is None
        await sessions.close()

    with caplog.at_level(logging.DEBUG, "gateway"):
        asyncio.run(run())
    assert "127.0.0.1" not in caplog.text
    assert "secret" not in caplog.text


def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    assert_unavailable(f"redis://:secret@127.0.0.1:{free_port()}/0", caplog)


def test_a_wrong_password(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server("--requirepass", "another") as server:
        assert_unavailable(server.url.replace("//", "//:secret@"), caplog)


def test_a_server_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert_unavailable(f"redis://:secret@127.0.0.1:{silent.getsockname()[1]}/0", caplog, timeout=0.05)


def test_a_server_without_memory() -> None:
    async def run(url: str) -> None:
        sessions, features = open_stores(url)
        with pytest.raises(SessionsFull):
            await sessions.create(session(), PIXELS)
        await features.put(KEY, {"features_1": PIXELS})
        assert await features.get(KEY) is None
        await sessions.close()

    with redis_server("--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server:
        asyncio.run(run(server.url))


def test_a_server_that_was_killed_and_comes_back_empty() -> None:
    async def run() -> None:
        port = free_port()
        with redis_server(port=port) as server:
            sessions, _ = open_stores(server.url)
            lost = session()
            await sessions.create(lost, PIXELS)
            server.kill()
            with pytest.raises(SessionsUnavailable):
                await sessions.get("public", lost.id)
        with redis_server(port=port):
            with pytest.raises(SessionNotFound):
                await sessions.get("public", lost.id)
            found = session()
            await sessions.create(found, PIXELS)
            assert await sessions.get("public", found.id) == found
            await sessions.close()

    asyncio.run(run())


def test_a_server_that_hangs_takes_the_time_of_few_and_is_asked_again() -> None:
    async def run(server: RedisServer) -> None:
        sessions, features = open_stores(server.url, timeout=1)
        kept = session()
        await sessions.create(kept, PIXELS)
        server.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        try:
            refused = await asyncio.gather(
                *(sessions.get("public", kept.id) for _ in range(200)), return_exceptions=True
            )
            assert {type(error) for error in refused} == {SessionsUnavailable}
            # All wait for the two connections, for as long as one call may take; then nobody waits.
            assert time.monotonic() - start < 4
            start = time.monotonic()
            for _ in range(50):
                with pytest.raises(SessionsUnavailable):
                    await sessions.get("public", kept.id)
            assert await features.get(KEY) is None
            # One of them may be the probe.
            assert time.monotonic() - start < 2.5
        finally:
            server.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        found = None
        while found is None and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            with suppress(SessionsUnavailable):
                found = await sessions.get("public", kept.id)
        assert found == kept
        await sessions.close()

    with redis_server() as server:
        asyncio.run(run(server))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"id": 1}',
        b"[" * 100_000,
        "another width",
        "another object",
        "another type",
    ],
)
def test_a_damaged_record_is_a_session_lost(record: bytes | str) -> None:
    async def run(server: RedisServer) -> None:
        sessions, _ = open_stores(server.url)
        kept = session()
        await sessions.create(kept, PIXELS)
        with server.client() as client:
            (name,) = (key for key in client.scan_iter() if b"session:" in key)
            whole: Any = client.hget(name, "record")
            if record == "another type":
                client.delete(name)
                client.set(name, b"x")
            elif record == "another width":
                client.hset(name, "record", whole.replace(b'"width": 2000', b'"width": "wide"'))
            elif record == "another object":
                events = b'"events": [{"object": 1000000000, "prompt": {}}]'
                client.hset(name, "record", whole.replace(b'"events": []', events))
            else:
                client.hset(name, "record", record)
        with pytest.raises(SessionNotFound):
            await sessions.get("public", kept.id)
        await sessions.close()

    with redis_server() as server:
        asyncio.run(run(server))


def test_a_damaged_image_is_a_session_lost() -> None:
    async def run(server: RedisServer) -> None:
        sessions, _ = open_stores(server.url)
        kept = session()
        await sessions.create(kept, PIXELS)
        with server.client() as client:
            (name,) = (key for key in client.scan_iter() if b"image:" in key)
            client.set(name, b"short")
        with pytest.raises(SessionNotFound):
            await sessions.pixels(kept)
        await sessions.close()

    with redis_server() as server:
        asyncio.run(run(server))
