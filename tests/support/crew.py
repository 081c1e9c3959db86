"""Several processes of one gateway, told apart from outside, by what Linux says of them."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.processes import GatewayProcess

_ESTABLISHED = "01"


def workers(server: GatewayProcess) -> list[int]:
    """Return the ids of a supervisor's living processes."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if alive(int(child))]


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def connect(server: GatewayProcess, timeout: float = 60.0) -> http.client.HTTPConnection:
    """Return a connection that is kept."""
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=timeout)
    connection.connect()
    return connection


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    """Return status and body."""
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def holder(server: GatewayProcess, connection: http.client.HTTPConnection) -> int:
    """Return the id of the process that holds the other end of a connection which it has answered on; 0: it died."""
    theirs, ours = connection.sock.getpeername()[1], connection.sock.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(fields[field].split(":")[1], 16) for field in (1, 2)]
        if ports == [theirs, ours] and fields[3] == _ESTABLISHED:
            return next((pid for pid in workers(server) if _has(pid, f"socket:[{fields[9]}]")), 0)
    return 0


@contextmanager
def connection_to_each(server: GatewayProcess) -> Iterator[dict[int, http.client.HTTPConnection]]:
    """Yield one kept connection to each process."""
    found: dict[int, http.client.HTTPConnection] = {}
    others = []
    deadline = time.monotonic() + 30
    while set(found) != set(workers(server)):
        assert time.monotonic() < deadline, "a process takes no connection"
        connection = connect(server)
        assert get(connection, "/healthz")[0] == 200
        if found.setdefault(holder(server, connection), connection) is not connection:
            others.append(connection)
    try:
        yield found
    finally:
        for connection in (*found.values(), *others):
            connection.close()


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _has(pid: int, link: str) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(os.readlink(descriptor) == link for descriptor in folder.iterdir())
    except FileNotFoundError:  # closed while we look
        return _has(pid, link) if alive(pid) else False
