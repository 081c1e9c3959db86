"""The edges of a connection, on raw sockets against a real process."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.access.keys import digest_of
from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model

pytestmark = pytest.mark.e2e
LIMIT = 4096
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/damage HTTP/1.1\r\nHost: x\r\nX-API-Key: key\r\nContent-Type: multipart/form-data; boundary=b\r\n"
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-lite0")
    with gateway(
        root,
        SERVER_HEADER_SECONDS="0.5",
        SERVER_HEADER_BYTES=str(LIMIT),
        SERVER_SEND_SECONDS="0.5",
        LIMITS_UPLOAD_STALL_SECONDS="0.5",
        AUTH_KEYS=f'{{"one": "{digest_of("key")}", "ct": {{"digest": "{digest_of("ct")}", "scopes": ["ct"]}}}}',
    ) as process:
        yield process
        assert "Traceback" not in "".join(process.output)


@contextmanager
def connected(server: GatewayProcess) -> Iterator[socket.socket]:
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            received += chunk
    return received


def until(connection: socket.socket, *wanted: bytes) -> bytes:
    """Return what comes until all of `wanted` is in it."""
    received = b""
    while not all(want in received for want in wanted):
        chunk = connection.recv(1 << 20)
        assert chunk, received
        received += chunk
    return received


def seconds_open(connection: socket.socket, first: bytes, then: bytes) -> float:
    """Return how long the server takes `first` and then `then` again and again, 5 seconds at most."""
    start = time.monotonic()
    with suppress(OSError):
        connection.sendall(first)
        while time.monotonic() < start + 5:
            connection.sendall(then)
            time.sleep(0.1)
    return time.monotonic() - start


def metric(server: GatewayProcess, name: str) -> float:
    """Return the value of a metric, or the sum over its labels where it is named without."""
    lines = httpx.get(f"{server.address}/metrics", headers={"X-API-Key": "key"}).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def cut(server: GatewayProcess, reason: str) -> float:
    return metric(server, f'maskgate_connections_cut_total{{reason="{reason}"}}')


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHo", b"\r\n"], ids=["nothing", "half a head", "a blank line"]
)
def test_a_head_that_does_not_come_is_not_waited_for(server: GatewayProcess, sent: bytes) -> None:
    before, start = cut(server, "slow-head"), time.monotonic()
    with connected(server) as connection:
        connection.sendall(sent)
        assert rest(connection) == b""
    assert 0.4 < time.monotonic() - start < 5
    assert cut(server, "slow-head") == before + 1


def test_dribbling_buys_no_time(server: GatewayProcess) -> None:
    with connected(server) as connection:
        assert seconds_open(connection, b"GET / HTTP/1.1\r\n", b"a: b\r\n") < 4


def test_nor_after_an_answer(server: GatewayProcess) -> None:
    with connected(server) as connection:
        connection.sendall(ALIVE)
        until(connection, b"alive")
        start = time.monotonic()
        connection.sendall(b"GET")
        assert rest(connection) == b""
    assert time.monotonic() < start + 5


def test_an_idle_connection_is_kept_longer_than_a_head_may_take(server: GatewayProcess) -> None:
    with connected(server) as connection:
        for _ in range(2):
            connection.sendall(ALIVE)
            until(connection, b"alive")
            time.sleep(0.8)
        connection.sendall(ALIVE * 3)
        assert until(connection, b"alive").startswith(b"HTTP/1.1 200")


def head_of(length: int) -> bytes:
    """Return a head of so many bytes, its last header's value the padding."""
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: \r\n\r\n"
    return head.replace(b"A: ", b"A: " + b"a" * (length - len(head)))


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_heads_at_one_under_and_one_over_the_limit(server: GatewayProcess, extra: int) -> None:
    # Of the head, target and header fields count; the method, the version and the last line end do not.
    uncounted = len(b"GET  HTTP/1.1\r\n\r\n")
    with connected(server) as connection:
        connection.sendall(head_of(LIMIT + uncounted + extra))
        if extra <= 0:
            assert until(connection, b"alive").startswith(b"HTTP/1.1 200")
        else:
            answer = rest(connection)
            assert answer.startswith(b"HTTP/1.1 431 ")
            assert b'"code": "head-too-large"' in answer
            assert b'"limit": 4096' in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 2 * LIMIT,
        b"GET / HTTP/1.1\r\nA: " + b"a" * 2 * LIMIT,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * LIMIT,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"t: u\r\n" * LIMIT,
    ],
    ids=["target", "header", "headers", "trailers"],
)
def test_heads_without_an_end_are_refused(server: GatewayProcess, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        assert b"HTTP/1.1 431 " in rest(connection)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ALIVE,
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + ALIVE,
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" + ALIVE,
        b"Content-Length: -5\r\n\r\nhello" + ALIVE,
        b"Content-Length: 5 5\r\n\r\nhello" + ALIVE,
        b"Content-Length: +5\r\n\r\nhello" + ALIVE,
        b"Transfer-Encoding: xchunked\r\n\r\n" + ALIVE,
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + ALIVE,
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + ALIVE,
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + ALIVE,
        b"A: b\r\n Content-Length: 5\r\n\r\n" + ALIVE,
        b"A: b\nContent-Length: 5\n\n" + ALIVE,
    ],
)
def test_what_two_servers_could_read_in_two_ways_is_refused_and_hides_no_second_request(
    server: GatewayProcess, framing: bytes
) -> None:
    with connected(server) as connection:
        connection.sendall(POST + framing)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"alive" not in answer


def test_pipelined_requests_are_answered_in_their_order(server: GatewayProcess) -> None:
    with connected(server) as connection:
        connection.sendall(ALIVE + LARGE + b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = rest(connection)
    first, large, last = (answer.index(mark) for mark in (b"alive", b'"openapi"', b"unauthorised"))
    assert first < large < last


def test_a_pipelining_caller_who_leaves_stops_costing(server: GatewayProcess) -> None:
    picture = encode(noise(2000, 2000))
    request = httpx.Request("POST", server.address, files={"pre": picture, "post": picture})
    body, before = request.read(), metric(server, "maskgate_cancelled_total")
    head = POST.replace(b"boundary=b", request.headers["Content-Type"].partition("; ")[2].encode())
    with connected(server) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body + ALIVE)
        deadline = time.monotonic() + 20
        while metric(server, "maskgate_inflight_requests") == 0:
            assert time.monotonic() < deadline
    while metric(server, "maskgate_cancelled_total") == before:
        assert time.monotonic() < deadline
    assert metric(server, "maskgate_inflight_requests") == 0


@pytest.mark.parametrize(
    ("key", "length", "status"),
    [(b"key", 10**11, b"413"), (b"none", 100, b"401"), (b"ct", 100, b"403")],
    ids=["too long", "unknown key", "another scope"],
)
def test_what_will_be_refused_is_not_asked_for(server: GatewayProcess, key: bytes, length: int, status: bytes) -> None:
    head = POST.replace(b": key", b": " + key) + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % length
    with connected(server) as connection:
        connection.sendall(head)
        answer = until(connection, b"problem+json")
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_what_is_expected_is_asked_for(server: GatewayProcess) -> None:
    picture = encode(noise(96, 96))
    request = httpx.Request("POST", server.address, files={"pre": picture, "post": picture})
    body = request.read()
    head = POST.replace(b"boundary=b", request.headers["Content-Type"].partition("; ")[2].encode())
    with connected(server) as connection:
        connection.sendall(head + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert until(connection, b"IEND").startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_refused_is_not_read_for_ever(server: GatewayProcess) -> None:
    head = POST.replace(b": key", b": none") + b"Content-Length: 1000000000\r\n\r\n"
    with connected(server) as connection:
        assert seconds_open(connection, head, bytes(1000)) < 4


def test_a_body_that_stalls_is_refused(server: GatewayProcess) -> None:
    with connected(server) as connection:
        connection.sendall(POST + b"Content-Length: 1000000\r\n\r\n--b")
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "upload-too-slow"' in answer
    assert "maskgate_inflight_bytes 0.0" in httpx.get(f"{server.address}/metrics", headers={"X-API-Key": "key"}).text


def test_an_answer_that_is_not_read_is_cut_off(server: GatewayProcess) -> None:
    before = cut(server, "slow-reader")
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(LARGE * 1000)
        deadline = time.monotonic() + 10
        while cut(server, "slow-reader") == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert rest(connection).count(b"HTTP/1.1 200") < 1000


def test_what_an_answer_held_is_freed_when_it_is_not_read(server: GatewayProcess) -> None:
    picture = encode(noise(1500, 1500))
    request = httpx.Request("POST", server.address, files={"pre": picture, "post": picture})
    body, before = request.read(), cut(server, "slow-reader")
    head = POST.replace(b"boundary=b", request.headers["Content-Type"].partition("; ")[2].encode())
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        deadline = time.monotonic() + 20
        while cut(server, "slow-reader") == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        received = rest(connection)
    length = int(received.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert 0 < len(received) < length
    assert "maskgate_inflight_bytes 0.0" in httpx.get(f"{server.address}/metrics", headers={"X-API-Key": "key"}).text


def test_one_that_is_read_slowly_is_not(server: GatewayProcess) -> None:
    before, received = cut(server, "slow-reader"), 0
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(LARGE * 100)
        for _ in range(40):
            received += len(connection.recv(40_000))
            time.sleep(0.05)
    assert received > 1_000_000
    assert cut(server, "slow-reader") == before
