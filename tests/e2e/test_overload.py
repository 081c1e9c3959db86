"""What callers over real connections meet when there is no time, and what they hold while they do not read."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, tile=256, overlap=0)
    with gateway(root, MODELS_DAMAGE="trivial") as process:
        yield process


def sample(server: GatewayProcess, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(httpx.get(f"{server.address}/metrics").text)
    found = [s.value for family in families for s in family.samples if s.name == name and s.labels == labels]
    return found[0] if found else 0.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def connect(server: GatewayProcess, receive_buffer: int | None = None) -> socket.socket:
    place = urlsplit(server.address)
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(20)
    connection.connect((place.hostname, place.port))
    return connection


def pair(side: int, path: str = "/v1/damage", **headers: str) -> tuple[bytes, bytes]:
    """Return the head and the body of a request."""
    image = encode(noise(side, side))
    request = httpx.Request("POST", f"http://gateway{path}", files={"pre": image, "post": image}, headers=headers)
    body = request.read()
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), body


def test_who_asks_first_need_not_send_what_is_refused(server: GatewayProcess) -> None:
    head, body = pair(128)
    for _ in range(6):
        with connect(server) as connection:
            connection.sendall(head + body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    late = {"Maskgate-Deadline": "0.0001", "Expect": "100-continue"}
    refused, _ = pair(128, **late)
    with connect(server) as connection:
        connection.sendall(refused)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in answer.lower()
    accepted, _ = pair(128, Expect="100-continue")
    with connect(server) as connection:
        connection.sendall(accepted)
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")


def test_who_sends_all_the_same_can_go_on_with_the_connection(server: GatewayProcess) -> None:
    image = encode(noise(128, 128))
    late = {"Maskgate-Deadline": "0.0001"}
    with httpx.Client(base_url=server.address, limits=httpx.Limits(max_connections=1)) as client:

        def status(headers: dict[str, str]) -> int:
            return client.post("/v1/damage", files={"pre": image, "post": image}, headers=headers).status_code

        statuses = [*(status({}) for _ in range(6)), *(status(headers) for headers in (late, {}) * 3)]
    assert statuses == [200] * 6 + [503, 200] * 3


def test_an_answer_nobody_reads_is_held_and_given_back_when_its_caller_leaves(server: GatewayProcess) -> None:
    head, body = pair(2000, "/v1/damage?overlay=true")
    before = sample(server, "maskgate_cancelled_total", stage="send")
    with connect(server, receive_buffer=4096) as connection:
        connection.sendall(head + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        until(lambda: 0 < sample(server, "maskgate_inflight_bytes") < len(body))
        assert sample(server, "maskgate_inflight_bytes") > 1_000_000
        assert sample(server, "maskgate_inflight_requests") == 1
    until(lambda: sample(server, "maskgate_inflight_bytes") == 0)
    assert sample(server, "maskgate_inflight_requests") == 0
    assert sample(server, "maskgate_cancelled_total", stage="send") == before + 1
