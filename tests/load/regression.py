"""`make regression AGAINST=REV`: the processor time of a request, beside that of another commit.

Both gateways run all the time, the other one from a checkout of its own in a temporary folder, with the libraries that
are installed here. Windows of requests to the one and to the other alternate, and what is compared is the time that the
processors worked for them, not the time that passed: so a busy machine troubles the figures little. The models are
trivial, so that inference hides nothing of the server.

Exits with 1 where a kind of request takes over 5 % more than it did.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
from maskgate_client.scenes import draw_scene

from tests.load.beside import checkout
from tests.load.record import record, record_option
from tests.support.pictures import encode, noise
from tests.support.places import ROOT
from tests.support.processes import GatewayProcess, gateway

MOST = 1.05
SETTINGS = {"WORK_THREADS": "1", "ENGINE_LANES": "1", "LOG_LEVEL": "WARNING", "MODELS_DAMAGE": "trivial"}

_WRITE = """
import sys, pathlib
from tests.support.trivial_all import write_trivial_repository
write_trivial_repository(pathlib.Path(sys.argv[1]))
"""


@dataclass(frozen=True)
class Result:
    """Median processor time of one kind of request in ms, here and there, and of the ratios of paired windows."""

    kind: str
    here_ms: float
    there_ms: float
    ratio: float


def main() -> None:
    """Run the comparison and print a table; keep the figures where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="HEAD~1", metavar="REV", help="the other commit")
    parser.add_argument("--windows", type=int, default=9, help="pairs of windows per kind of request")
    parser.add_argument("--requests", type=int, default=60, help="requests in a window")
    record_option(parser)
    options = parser.parse_args()
    with ExitStack() as stack:
        other = stack.enter_context(checkout(options.against))
        servers = []
        for root in (ROOT, other):
            models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            write_models(root, models)
            servers.append(stack.enter_context(gateway(models, root, **SETTINGS)))
        results = [_measure(kind, request, servers, options) for kind, request in drawn_requests().items()]
    print(f"\nProcessor time of a request in ms, against {options.against}")
    print(f"{'request':<24}{'here':>9}{'there':>9}{'ratio':>8}")
    for result in results:
        print(f"{result.kind:<24}{result.here_ms:>9.2f}{result.there_ms:>9.2f}{result.ratio:>8.3f}")
    record(options.record, "regression", {"against": options.against, "results": [asdict(each) for each in results]})
    sys.exit(any(result.ratio > MOST for result in results))


def write_models(root: Path, folder: Path) -> None:
    """Write trivial models as a commit writes them: another one may not read the cards."""
    paths = os.pathsep.join(map(str, (root, root / "clients" / "python" / "src")))
    command = [sys.executable, "-c", _WRITE, str(folder)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, cwd=root, check=True)


def drawn_requests() -> dict[str, httpx.Request]:
    """Return a drawn request per task, by what it is."""
    scene = draw_scene(1, 512)
    pair = {"pre": encode(scene.pre), "post": encode(scene.post)}
    image, slice_ = {"image": encode(noise(512, 512))}, {"image": encode(noise(512, 512)[..., 0])}
    prompt = {"prompt": b'{"box": [100, 100, 300, 300]}'}

    def request(path: str, accept: str, files: dict[str, bytes]) -> httpx.Request:
        prepared = httpx.Request("POST", f"http://x{path}", files=files, headers={"Accept": accept})
        prepared.read()
        return prepared

    return {
        "pair 512², PNG": request("/v1/damage", "image/png", pair),
        "pair 512², JSON": request("/v1/damage", "application/json", pair),
        "waste 512²": request("/v1/waste", "image/png", image),
        "click 512²": request("/v1/interactive", "image/png", image | prompt),
        "CT slice 512²": request("/v1/ct", "image/png", slice_),
        "radiograph 512²": request("/v1/radiograph", "application/json", slice_),
    }


def _measure(kind: str, request: httpx.Request, servers: list[GatewayProcess], options: argparse.Namespace) -> Result:
    def window(server: GatewayProcess, count: int) -> float:
        process = psutil.Process(server.process.pid)
        before = process.cpu_times()
        with httpx.Client(base_url=server.address, timeout=120) as client:
            for _ in range(count):
                path, body, headers = request.url.path, request.content, request.headers
                client.request(request.method, path, content=body, headers=headers).raise_for_status()
        after = process.cpu_times()
        seconds: float = after.user + after.system - before.user - before.system
        return 1000 * seconds / count

    for server in servers:
        window(server, options.requests)
    pairs = [[window(server, options.requests) for server in servers] for _ in range(options.windows)]
    here, there = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Result(kind, here, there, statistics.median(one / other for one, other in pairs))


if __name__ == "__main__":
    main()
