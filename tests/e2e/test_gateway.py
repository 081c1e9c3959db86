"""The gateway as its operators run it: a process, a socket, signals."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from tests.support.pictures import decode, encode, noise
from tests.support.places import ROOT
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import label_table, write_trivial_model

pytestmark = pytest.mark.e2e
GOOD = encode(noise(96, 96))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-lite0")
    (write_trivial_model(root, "faulty") / "labels.txt").unlink()
    return root


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[GatewayProcess]:
    with gateway(repository) as process:
        yield process


def post(server: GatewayProcess, **options: object) -> httpx.Response:
    files = {"pre": GOOD, "post": GOOD}
    return httpx.post(f"{server.address}/v1/damage", files=files, timeout=60, **options)  # type: ignore[arg-type]


def test_the_greeting_says_what_to_open_and_how_the_models_stand(server: GatewayProcess) -> None:
    deadline = time.monotonic() + 10
    while "overlay.png" not in (greeting := "".join(server.output)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert f"{server.address}/docs" in greeting
    assert "curl" in greeting
    assert "bd-lite0       ready" in greeting
    assert "faulty         failed: labels.txt is missing" in greeting


def test_a_pair_is_answered(server: GatewayProcess) -> None:
    picture = noise(333, 257, seed=2)
    files = {"pre": GOOD, "post": encode(picture)}
    answer = httpx.post(f"{server.address}/v1/damage", files=files | {"pre": encode(picture)}, timeout=60)
    np.testing.assert_array_equal(decode(answer.content), label_table(5)[picture[..., 1]])


def test_a_connection_is_kept_after_an_error_in_the_body(server: GatewayProcess) -> None:
    with httpx.Client(base_url=server.address, timeout=60) as client:
        assert client.post("/v1/damage", files={"pre": b"", "post": GOOD}).status_code == 422
        assert client.post("/v1/damage", files={"pre": GOOD, "post": GOOD}).status_code == 200


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: GatewayProcess) -> None:
    address = urlsplit(server.address)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/damage HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"limit": 536870912' in answer


def test_callers_who_vanish_do_no_harm(server: GatewayProcess) -> None:
    address = urlsplit(server.address)
    request = httpx.Request("POST", f"{server.address}/v1/damage", files={"pre": GOOD, "post": GOOD})
    body = request.read()
    head = f"POST /v1/damage HTTP/1.1\r\nHost: x\r\nContent-Type: {request.headers['Content-Type']}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    for sent in (100, len(body) // 2, len(body)):
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(head.encode() + body[:sent])
    assert post(server).status_code == 200
    deadline = time.monotonic() + 10
    while "maskgate_inflight_requests 0.0" not in httpx.get(f"{server.address}/metrics").text:
        assert time.monotonic() < deadline, "a request of a vanished caller is still held"
        time.sleep(0.05)
    assert "Traceback" not in "".join(server.output)


def test_nothing_of_an_upload_is_logged(server: GatewayProcess) -> None:
    files = {"pre": ("Jane-Doe-1970.png", GOOD), "post": ("Jane-Doe-1970.png", GOOD)}
    answer = httpx.post(
        f"{server.address}/v1/damage?district_name=Jane-Doe", files=files, headers={"X-Request-ID": "r-42"}
    )
    assert answer.status_code == 200
    deadline = time.monotonic() + 10
    while "r-42 POST /v1/damage 200" not in "".join(server.output):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Jane" not in "".join(server.output)


def test_sigterm_drains(repository: Path) -> None:
    slow = encode(noise(3000, 3000))
    with gateway(
        repository, SERVER_DRAIN_DELAY_SECONDS="5", SERVER_GRACE_SECONDS="120", WORK_THREADS="1", ENGINE_LANES="1"
    ) as process:
        answers: list[int] = []

        def ask() -> None:
            files = {"pre": slow, "post": slow}
            answers.append(httpx.post(f"{process.address}/v1/damage", files=files, timeout=60).status_code)

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        deadline = time.monotonic() + 30
        while "maskgate_inflight_requests 3.0" not in httpx.get(f"{process.address}/metrics").text:
            assert time.monotonic() < deadline
        process.terminate()
        while httpx.get(f"{process.address}/readyz").status_code != 503:
            assert time.monotonic() < deadline
        # Balancers need their time to see it; what they send meanwhile is answered.
        assert post(process).status_code == 200
        for asker in askers:
            asker.join(60)
        assert answers == [200, 200, 200]
        assert process.process.wait(30) == 0
        assert "Traceback" not in "".join(process.output)


def test_ctrl_c_ends_it_quietly(repository: Path) -> None:
    with gateway(repository) as process:
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(30) == 0
    assert "Traceback" not in "".join(process.output)


def test_a_repository_that_is_not_there_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli", "serve", "--models", str(tmp_path / "none")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert result.returncode == 2
    assert "is not a folder" in result.stderr


def test_a_setting_that_is_none_is_named() -> None:
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", "99999"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert result.returncode == 2
    assert "port" in result.stderr
