"""Debian's redis-server as a process of its own, on a free port."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from tests.support.ports import free_port


@dataclass(frozen=True)
class RedisServer:
    """A running Redis."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait(10)

    def client(self) -> Redis:
        """Return a client of its own, to look and to meddle."""
        return Redis.from_url(self.url)


@contextmanager
def redis_server(*options: str, port: int = 0) -> Iterator[RedisServer]:
    """Run a Redis that writes nothing to disk until the context ends; skip the test where none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    port = port or free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = RedisServer(f"redis://127.0.0.1:{port}/0", process)
    try:
        _wait(server)
        yield server
    finally:
        process.kill()
        process.wait(10)


def _wait(server: RedisServer) -> None:
    deadline = time.monotonic() + 20
    with server.client() as client:
        while True:
            try:
                client.ping()
                return
            except AuthenticationError:
                return
            except RedisError:
                if server.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
