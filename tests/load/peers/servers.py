"""The peers: how each is started, in an environment of its own, and asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.load.bench import Request
from tests.load.peers.sender import PeerMissing
from tests.load.peers.services.work import REPOSITORY
from tests.support.ports import free_port

ENVIRONMENTS = Path(".venv/peers")
_SERVICES = "tests.load.peers.services"
_START_SECONDS = 90
_READY = "import importlib.metadata as m, sys; print(*(f'{n}=={m.version(n)}' for n in sys.argv[1:]))"
# Of what every peer does the work with, besides its own.
_LIBRARIES = ("numpy", "onnxruntime", "opencv-python-headless")


@dataclass(frozen=True)
class Peer:
    """A server of the same work.

    Attributes:
        name: as the table has it.
        environment: folder under `ENVIRONMENTS`; its lock is of the same name.
        distribution: whose version tells which of its versions this is.
        command: what its Python is started with; ``{port}`` is replaced.
        path: where it takes pairs.
    """

    name: str
    environment: str
    distribution: str
    command: tuple[str, ...]
    path: str = "/pair"

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.environment / "bin" / "python"


PEERS = (
    Peer(
        "FastAPI",
        "fastapi",
        "fastapi",
        ("-m", "uvicorn", f"{_SERVICES}.plain_fastapi:app", "--workers", "2", "--port", "{port}"),
    ),
    Peer("LitServe", "litserve", "litserve", ("-m", f"{_SERVICES}.with_litserve", "{port}"), "/predict"),
    Peer(
        "BentoML",
        "bentoml",
        "bentoml",
        ("-m", "bentoml", "serve", f"{_SERVICES}.with_bentoml:Pairs", "--host", "127.0.0.1", "--port", "{port}"),
    ),
    Peer("Ray Serve", "ray", "ray", ("-m", f"{_SERVICES}.with_ray", "{port}")),
)


def versions_of(peer: Peer, python: Path) -> dict[str, str]:
    """Return the versions of a peer and of what it does the work with.

    Raises:
        PeerMissing: it is not installed; the log of the installation has the reason.
    """
    installed = python == Path(sys.executable) or python.parent.with_name(".locked").exists()
    if not installed:
        log = ENVIRONMENTS / f"{peer.environment}.log"
        raise PeerMissing(_last_line(log, "not installed; `make bench-peers` does it"))
    asked = subprocess.run(
        [python, "-c", _READY, peer.distribution, *_LIBRARIES], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise PeerMissing(asked.stderr.strip().rpartition("\n")[2])
    return dict(pin.split("==") for pin in asked.stdout.split())


@contextmanager
def serving(peer: Peer, python: Path, repository: Path, request: Request) -> Iterator[str]:
    """Run a peer until the context ends, and yield where it takes pairs, once it has answered `request`.

    Raises:
        PeerMissing: it ended, or did not answer in time; the last line that it wrote says why.
    """
    url = f"http://127.0.0.1:{free_port()}{peer.path}"
    command = [str(python), *(part.format(port=httpx.URL(url).port) for part in peer.command)]
    environment = os.environ | {
        "PYTHONPATH": str(Path.cwd()),
        REPOSITORY: str(repository),
        # Calling home would be measured too.
        "BENTOML_DO_NOT_TRACK": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray gives up after 30 seconds on a crowded machine.
        "RAY_raylet_start_wait_time_s": str(_START_SECONDS),
        "RAY_agent_register_timeout_ms": str(1000 * _START_SECONDS),
    }
    # Beside the repository, which the gateway watches.
    log = repository.with_name(f"{peer.environment}.log")
    with log.open("w") as output:
        # A session of its own, so that its workers end with it.
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_for(url, request, process, log)
        yield url
    finally:
        for ending, seconds in ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


def _wait_for(url: str, request: Request, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    reason = "no answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PeerMissing(_last_line(log, f"ended with status {process.returncode}"))
        try:
            answer = httpx.post(url, content=request.body, headers={"Content-Type": request.content_type}, timeout=60)
        except httpx.TransportError:
            pass
        else:
            if answer.status_code == 200:
                return
            reason = f"answered {answer.status_code}"
        time.sleep(0.5)
    raise PeerMissing(f"{reason} within {_START_SECONDS} s: {_last_line(log, '')}")


def _last_line(log: Path, otherwise: str) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else otherwise
