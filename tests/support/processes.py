"""The gateway as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_ADDRESS = re.compile(r"Maskgate answers at ((?:https?://|unix:)\S+)")


@dataclass(frozen=True)
class GatewayProcess:
    """A running gateway: where it answers, and what it has written so far."""

    address: str
    process: subprocess.Popen[str]
    output: list[str]

    def terminate(self) -> None:
        """Ask it to leave, as an orchestrator does."""
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def gateway(models: Path, root: Path | None = None, /, **settings: str) -> Iterator[GatewayProcess]:
    """Run a gateway on a free port until the context ends.

    Args:
        models: its repository.
        root: the checkout whose code it runs; None: this one.
        settings: environment variables without their prefix, e.g. ``WORK_THREADS="2"``.
    """
    environment = os.environ | {f"MASKGATE_{key}": value for key, value in settings.items()}
    if root is not None:
        environment["PYTHONPATH"] = str(root)
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0", "--models", str(models)]
    # A session of its own: Ctrl-C in a terminal is for us, who end it when we have finished with it.
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        start_new_session=True,
    )
    output: list[str] = []
    found = threading.Event()

    def follow() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                output.append(line)
                if _ADDRESS.search(line):
                    found.set()
        found.set()

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        found.wait(60)
        match = _ADDRESS.search("".join(output))
        if match is None:
            raise RuntimeError("the gateway did not start:\n" + "".join(output))
        yield GatewayProcess(match[1], process, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(10)


def files_of_its_own(server: GatewayProcess, scratch: Path) -> set[Path]:
    """Return what libraries leave in a gateway's temporary folder when it begins, once it has."""
    deadline = time.monotonic() + 30
    while httpx.get(f"{server.address}/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return set(scratch.iterdir())
