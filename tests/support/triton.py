"""The real server as a process of its own: `tritonserver` from the wheel, as `make triton` starts it."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from gateway.engines.triton.shared_memory import FOLDER
from tests.support.places import ROOT
from tests.support.ports import free_ports

ENVIRONMENT = ROOT / ".venv" / "triton"

START_SECONDS = 300
"""With 43 models it takes half a minute on two cores that others keep busy."""


class TritonProcess:
    """A Triton on fixed, free ports, so that it can go and come back.

    Args:
        models: its repository.
        log: where it writes.
        options: what else to start it with.
    """

    def __init__(self, models: Path, log: Path, *options: str) -> None:
        self._models = models
        self._log = log
        self._options = options
        self.http, self.grpc, self.metrics = free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where its gRPC service answers."""
        return f"127.0.0.1:{self.grpc}"

    def start(self) -> None:
        """Start it and return when it answers, whether or not every model could be loaded."""
        addresses = [f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")]
        ports = [f"--http-port={self.http}", f"--grpc-port={self.grpc}", f"--metrics-port={self.metrics}"]
        command = [str(ENVIRONMENT / "bin" / "python"), str(ROOT / "deploy" / "triton-local" / "serve.py")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--model-repository={self._models}", *addresses, *ports, *self._options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")},
                start_new_session=True,  # the Python backend's processes end with it
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("Triton did not start:\n" + self._log.read_text(errors="replace")[-5000:])
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether it is live."""
        try:
            self._get(self.http, "/v2/health/live")
        except (OSError, urllib.error.URLError):
            return False
        return True

    def metric(self, name: str, model: str) -> float:
        """Return the value of one of its metrics for a model."""
        lines = self._get(self.metrics, "/metrics").splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(f'{name}{{model="{model}"')))

    def hold(self, seconds: float) -> None:
        """Let the processes that run its models stand still, as if the machine had no time for them."""
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        children = [int(child) for thread in threads for child in thread.read_text().split()]
        assert children
        for child in children:
            os.kill(child, signal.SIGSTOP)
        time.sleep(seconds)
        for child in children:
            with suppress(ProcessLookupError):  # the model was loaded anew meanwhile
                os.kill(child, signal.SIGCONT)

    def freeze(self, seconds: float) -> None:
        """Let the server itself stand still: it takes calls, since the kernel does, and answers none."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def memory(self) -> list[Path]:
        """Return what its Python backend has in shared memory, or has left there."""
        assert self._process is not None
        return list(FOLDER.glob(f"triton-local-{self._process.pid}-*"))

    def crash(self) -> None:
        """End it at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill(self) -> None:
        """End it at once, as a crash would, and remove what its Python backend leaves in memory then."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it ended by itself
                self.crash()
            for left in self.memory():
                left.unlink()
            self._process = None

    def _get(self, port: int, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            body: bytes = answer.read()
        return body.decode()


class Tritons:
    """One server for each repository, started when first asked for."""

    def __init__(self, stack: ExitStack, logs: Path) -> None:
        self._stack = stack
        self._logs = logs
        self._running: dict[Path, TritonProcess] = {}

    def serving(self, models: Path) -> TritonProcess:
        """Return the server of the repository `models`."""
        if models not in self._running:
            log = self._logs / f"{len(self._running)}.log"
            self._running[models] = self._stack.enter_context(triton(models, log))
        return self._running[models]


@contextmanager
def triton(models: Path, log: Path, *options: str) -> Iterator[TritonProcess]:
    """Run a server until the context ends; skips the test where it cannot be installed."""
    if reason := unavailable():
        pytest.skip(reason)
    process = TritonProcess(models, log, *options)
    process.start()
    try:
        yield process
    finally:
        process.kill()


@cache
def unavailable() -> str:
    """Make the server's environment as `make triton` does, and return why that cannot be, or nothing."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "the wheel of Triton is there for Linux on x86-64 alone"
    made = subprocess.run(
        ["make", "--no-print-directory", str(ENVIRONMENT.relative_to(ROOT) / ".locked")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"Triton cannot be installed: {made.stderr.strip() or made.stdout.strip()}" if made.returncode else ""
