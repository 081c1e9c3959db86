"""Where a gateway listens: socket files, TLS, a port for metrics; alone and in several processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.access.keys import digest_of
from tests.support.crew import until
from tests.support.pictures import encode, noise
from tests.support.ports import free_port
from tests.support.processes import gateway
from tests.support.trivial import write_trivial_model

pytestmark = pytest.mark.e2e
GOOD = encode(noise(96, 96))
PAIR = {"pre": GOOD, "post": GOOD}
NAME = "/CN=127.0.0.1"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "bd-lite0")
    return root


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a server's certificate, and one of a caller, each its own authority."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "caller"):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", NAME, "-addext", "subjectAltName=IP:127.0.0.1"]
        try:
            subprocess.run(
                [*command, "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=folder, check=True, capture_output=True
            )
        except FileNotFoundError:
            pytest.skip("no openssl to make a certificate with")
    return folder


def over(path: str) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://maskgate", timeout=60)


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Path]:
    """Return a folder whose path is short enough for a socket file."""
    folder = Path(f"/tmp/maskgate-{os.getpid()}")  # noqa: S108 - pytest's own are too long for a socket
    folder.mkdir()
    yield folder
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_socket_file_is_listened_on_and_goes_with_the_gateway(repository: Path, short: Path, workers: str) -> None:
    path = short / "s"
    port = free_port()
    settings = {"SERVER_UNIX_SOCKET": str(path), "SERVER_METRICS_PORT": str(port), "SERVER_WORKERS": workers}
    with gateway(repository, **settings) as process:
        assert process.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        for _ in range(6):
            with over(str(path)) as client:
                assert client.get("/readyz").status_code == 200
                assert client.post("/v1/damage", files=PAIR).status_code == 200
        assert "maskgate_images_decoded_total 12.0" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
        process.terminate()
        assert process.process.wait(30) == 0
        assert not path.exists()


def test_a_socket_file_of_a_dead_gateway_is_taken_over_and_a_living_one_is_not(repository: Path, short: Path) -> None:
    path = short / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with gateway(repository, SERVER_UNIX_SOCKET=str(path)), over(str(path)) as client:
        second = serve(repository, SERVER_UNIX_SOCKET=str(path))
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == f"The gateway cannot listen on {path}: Address already in use.\n"
        assert client.get("/healthz").status_code == 200
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(repository: Path, short: Path) -> None:
    path = short / "s"
    path.write_text("precious")
    assert serve(repository, SERVER_UNIX_SOCKET=str(path)).returncode == 1
    assert path.read_text() == "precious"
    too_long = serve(repository, SERVER_UNIX_SOCKET=str(short / ("x" * 200)))
    assert too_long.stderr.count("\n") == 1


def serve(repository: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Return what a gateway says that cannot start."""
    environment = os.environ | {f"MASKGATE_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0", "--models", str(repository)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_tls_is_served_and_nothing_else(repository: Path, certificates: Path, workers: str) -> None:
    files = {"SERVER_TLS_CERTIFICATE": "server.pem", "SERVER_TLS_KEY": "server.key"}
    settings = {name: str(certificates / file) for name, file in files.items()}
    trusted = ssl.create_default_context(cafile=certificates / "server.pem")
    port = free_port()
    with gateway(repository, SERVER_WORKERS=workers, SERVER_GRPC_PORT=str(port), **settings) as process:
        assert process.address.startswith("https://")
        credentials = grpc.ssl_channel_credentials((certificates / "server.pem").read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
            assert alive(channel)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
            alive(channel)
        with httpx.Client(base_url=process.address, verify=trusted, timeout=60) as client:
            assert client.get("/readyz").status_code == 200
            assert client.post("/v1/damage", files=PAIR).status_code == 200
            assert client.get("/none").headers["X-Content-Type-Options"] == "nosniff"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{process.address}/healthz")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{process.address.replace('https', 'http')}/healthz")
        assert "Traceback" not in "".join(process.output)


def test_a_handshake_is_not_waited_for_longer_than_a_head(repository: Path, certificates: Path) -> None:
    files, port = {"CERTIFICATE": "server.pem", "KEY": "server.key"}, free_port()
    settings = {f"SERVER_TLS_{name}": str(certificates / file) for name, file in files.items()}
    settings |= {"SERVER_HEADER_SECONDS": "1", "SERVER_GRPC_PORT": str(port)}
    with gateway(repository, **settings) as process:
        for each in (urlsplit(process.address).port, port):
            with socket.create_connection(("127.0.0.1", each), timeout=30) as connection:
                start = time.monotonic()
                assert connection.recv(1) == b""
                assert 0.5 < time.monotonic() - start < 20


def alive(channel: grpc.Channel) -> bool:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    told: bool = stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10).live
    return told


def test_callers_need_a_certificate_where_that_is_set(repository: Path, certificates: Path) -> None:
    files = {"CERTIFICATE": "server.pem", "KEY": "server.key", "CLIENTS": "caller.pem"}
    settings = {f"SERVER_TLS_{name}": str(certificates / file) for name, file in files.items()}
    context = ssl.create_default_context(cafile=certificates / "server.pem")
    port, theirs = free_port(), {name: (certificates / name).read_bytes() for name in ("server.pem", "caller.pem")}
    with gateway(repository, SERVER_GRPC_PORT=str(port), **settings) as process:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{process.address}/healthz", verify=context)
        stranger = grpc.ssl_channel_credentials(theirs["server.pem"])
        with grpc.secure_channel(f"127.0.0.1:{port}", stranger) as channel, pytest.raises(grpc.RpcError):
            alive(channel)
        key = (certificates / "caller.key").read_bytes()
        known = grpc.ssl_channel_credentials(theirs["server.pem"], key, theirs["caller.pem"])
        with grpc.secure_channel(f"127.0.0.1:{port}", known) as channel:
            assert alive(channel)
        context.load_cert_chain(certificates / "caller.pem", certificates / "caller.key")
        assert httpx.get(f"{process.address}/healthz", verify=context).status_code == 200


def test_a_certificate_that_cannot_be_used_is_one_line(repository: Path, certificates: Path) -> None:
    for certificate, key in (("server.pem", "caller.key"), ("server.key", "server.key")):
        settings = {"CERTIFICATE": str(certificates / certificate), "KEY": str(certificates / key)}
        said = serve(repository, **{f"SERVER_TLS_{name}": path for name, path in settings.items()})
        assert said.returncode == 1
        assert said.stderr.startswith("The gateway cannot use ")
        assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_for_grpc_is_not_shared_with_strangers(repository: Path, workers: str) -> None:
    port = free_port()
    with gateway(repository, SERVER_GRPC_PORT=str(port), SERVER_WORKERS=workers):
        for _ in range(4):
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                assert alive(channel)
        said = serve(repository, SERVER_GRPC_PORT=str(port))
        assert said.returncode == 1
        assert f"{port}: Address already in use" in said.stderr
        assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_metrics_have_a_port_of_their_own(repository: Path, workers: str) -> None:
    port, keys = free_port(), json.dumps({"one": digest_of("key")})
    with gateway(repository, SERVER_METRICS_PORT=str(port), SERVER_WORKERS=workers, AUTH_KEYS=keys) as process:
        key = {"X-API-Key": "key"}
        for _ in range(4):
            assert httpx.post(f"{process.address}/v1/damage", files=PAIR, headers=key).status_code == 200
        aside = f"http://127.0.0.1:{port}"
        text = httpx.get(f"{aside}/metrics").text
        assert "maskgate_images_decoded_total 8.0" in text
        assert httpx.get(f"{aside}/readyz").status_code == 200
        assert httpx.get(f"{aside}/v1/models", headers=key).status_code == 404
        assert httpx.get(f"{process.address}/metrics", headers=key).status_code == 404
        said = serve(repository, SERVER_METRICS_PORT=str(port))
        assert said.returncode == 1
        assert f"{port}: Address already in use" in said.stderr
    until(lambda: process.process.poll() is not None, "it does not leave")


@pytest.mark.parametrize(
    "command",
    [["gateway.cli", "settings"], ["export", "list"], ["maskgate_client", "models"]],
    ids=" ".join,
)
def test_a_reader_who_leaves_ends_a_command_quietly(repository: Path, command: list[str]) -> None:
    with gateway(repository) as process:
        environment = os.environ | {"MASKGATE_URL": process.address, "PYTHONPATH": os.pathsep.join(sys.path)}
        theirs, ours = os.pipe()
        os.close(theirs)
        told = subprocess.run(
            [sys.executable, "-m", *command], env=environment, stdout=ours, stderr=subprocess.PIPE, check=False
        )
        os.close(ours)
    assert (told.returncode, told.stderr) == (128 + signal.SIGPIPE, b"")


def test_a_gateway_whose_greeting_nobody_reads_serves_on(repository: Path) -> None:
    port = free_port()
    theirs, ours = os.pipe()
    os.close(theirs)
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", str(port), "--models", str(repository)]
    process = subprocess.Popen(command, stdout=ours, stderr=subprocess.PIPE, start_new_session=True)
    os.close(ours)

    def serves() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(serves, "it does not serve")
        assert httpx.post(f"http://127.0.0.1:{port}/v1/damage", files=PAIR).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert b"Traceback" not in said
