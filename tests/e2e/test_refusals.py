"""Refusals on raw sockets against a real process: recorded, read by their callers, and no end of a connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.access.keys import digest_of
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model

pytestmark = pytest.mark.e2e
HEADER_SECONDS = 1.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-lite0")
    with gateway(
        root,
        SERVER_HEADER_SECONDS=str(HEADER_SECONDS),
        LIMITS_BODY_BYTES="2000000",
        AUTH_KEYS=f'{{"one": "{digest_of("key")}"}}',
    ) as process:
        yield process
        assert "Traceback" not in "".join(process.output)
        assert "was not recorded" not in "".join(process.output)


@contextmanager
def connected(server: GatewayProcess) -> Iterator[socket.socket]:
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        yield connection


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """Return the status lines of `count` answers."""
    received = b""
    while received.count(b"HTTP/1.1 ") < count or not received.endswith(b"}"):
        chunk = connection.recv(1 << 20)
        if not chunk:
            break
        received += chunk
    return [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def audited(server: GatewayProcess) -> int:
    return sum("gateway.audit" in line for line in server.output)


@pytest.mark.parametrize(
    "request_of",
    [
        lambda value: b"GET /v1/models/%%%02x HTTP/1.1\r\nHost: x\r\n\r\n" % value,
        lambda value: b"GET /v1/models?model=%%%02x&x=%%c3%%a9 HTTP/1.1\r\nHost: x\r\n\r\n" % value,
        lambda value: b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-API-Key: a%cb\r\n\r\n" % value,
        lambda value: b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Request-ID: a%cb\r\n\r\n" % value,
    ],
    ids=["path", "query", "key", "request id"],
)
def test_each_refused_key_is_in_the_audit_log_whatever_else_the_request_has(
    server: GatewayProcess, request_of: Callable[[int], bytes]
) -> None:
    before, refused = audited(server), 0
    for value in range(256):
        with connected(server) as connection:
            connection.sendall(request_of(value))
            (status,) = answers(connection, 1)
            # What is not HTTP at all was nobody's request.
            assert status.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))
            refused += b" 401 " in status
    assert refused > 190
    deadline = time.monotonic() + 10
    while audited(server) < before + refused:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert audited(server) == before + refused


def test_every_byte_as_it_is_in_the_target_leaves_the_connection_of_the_next_in_order(server: GatewayProcess) -> None:
    for value in range(256):
        with connected(server) as connection:
            connection.sendall(b"GET /v1/models/a%cb?c=%c HTTP/1.1\r\nHost: x\r\n\r\n" % (value, value))
            (status,) = answers(connection, 1)
            assert status.startswith((b"HTTP/1.1 4",))
    assert httpx.get(f"{server.address}/healthz").status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_a_request_has_one_host(server: GatewayProcess, head: bytes, status: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(head)
        (line,) = answers(connection, 1)
    assert line.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("late", [False, True])
def test_a_connection_outlives_the_rest_of_a_refused_body(server: GatewayProcess, late: bool) -> None:
    head = (
        b"POST /v1/damage HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=X\r\n"
        b"Content-Length: 200000\r\n\r\n"
    )
    with connected(server) as connection:
        connection.sendall(head)
        assert answers(connection, 1)[0].startswith(b"HTTP/1.1 401")
        if late:
            time.sleep(HEADER_SECONDS / 2)
        connection.sendall(bytes(200_000))
        time.sleep(1.5 * HEADER_SECONDS)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answers(connection, 1)[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("chunked", [False, True])
def test_who_is_refused_while_sending_reads_why(server: GatewayProcess, chunked: bool) -> None:
    body = bytes(5_000_000)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    headers = {"Content-Type": "multipart/form-data; boundary=X", "X-API-Key": "key"}
    for _ in range(20):
        answer = httpx.post(f"{server.address}/v1/damage", content=pieces() if chunked else body, headers=headers)
        assert answer.status_code in (400, 413)


def test_what_cannot_be_parsed_is_answered_while_more_of_it_comes(server: GatewayProcess) -> None:
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n" + bytes(100_000))
            time.sleep(0.02)
            connection.sendall(bytes(100_000))
            assert answers(connection, 1)[0].startswith(b"HTTP/1.1 400")
