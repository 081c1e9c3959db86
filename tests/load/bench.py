"""`make bench`: where a request's time goes, and what the server around the work costs.

Two figures per model, on one drawn 1024² pair sent as PNG:

- the stages of a request sent alone (the answer's own `Server-Timing`), medians;
- the gateway's throughput at 8 concurrent requests and two workers as a share of a bare loop's: two
  processes that decode with OpenCV, make one ONNX Runtime call, and encode with OpenCV, without any
  server. Windows of the two alternate in one run, so that a noisy machine troubles both alike.

With `--against REV` the gateway of another commit runs beside this one's, and windows of all three alternate.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import onnxruntime as ort
from maskgate_client.scenes import draw_scene

from gateway.repository.store import StoredModel, scan
from gateway.vision.labels import decide
from gateway.vision.tiling import Stitcher, gather, plan
from tests.load.beside import against_option, commits
from tests.load.record import record, record_option
from tests.support.pictures import encode
from tests.support.processes import gateway
from tests.support.trivial import write_trivial_model

SIDE = 1024
WORKERS = 2
CONCURRENCY = 8
SHIPPED = Path("model_repository")


@dataclass(frozen=True)
class Request:
    """One pair as a prepared multipart body."""

    pre: bytes
    post: bytes
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Result:
    """Figures of one model and the gateway of one commit."""

    model: str
    commit: str
    stages_ms: dict[str, float]
    bare_per_second: float
    gateway_per_second: float
    share: float


def main() -> None:
    """Run the benchmark and print a table; keep the figures where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=5, help="pairs of windows per model")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a window")
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    with ExitStack() as stack:
        trivial = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_trivial_model(trivial, tile=SIDE, overlap=0)
        roots = stack.enter_context(commits(options.against))
        models = [(trivial, model) for model in scan(trivial).models.values()]
        models += [(SHIPPED, model) for model in scan(SHIPPED).models.values() if model.card.task == "damage"]
        request = drawn_request()
        results = [
            result
            for repository, model in models
            for result in _measure(repository.resolve(), roots, model, request, options)
        ]
    _print(results)
    record(options.record, "pairs", {"results": [vars(result) for result in results]})


def drawn_request(side: int = SIDE) -> Request:
    """Return a drawn pair of `side`² pixels as a request."""
    scene = draw_scene(1, side)
    pre, post = encode(scene.pre), encode(scene.post)
    files = {name: (f"{name}.png", part, "image/png") for name, part in (("pre", pre), ("post", post))}
    prepared = httpx.Request("POST", "http://x", files=files)
    return Request(pre, post, prepared.headers["Content-Type"], prepared.read())


def _measure(
    repository: Path, roots: Mapping[str, Path], model: StoredModel, request: Request, options: argparse.Namespace
) -> list[Result]:
    settings = {"WORK_THREADS": str(WORKERS), "ENGINE_LANES": str(WORKERS), "MODELS_DAMAGE": model.name}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(gateway(repository, root, LOG_LEVEL="WARNING", **settings)) for root in roots.values()
        ]
        stages = [_stages(server.address, request) for server in servers]
        bare = stack.enter_context(bare_loops(model, request))
        loads = [stack.enter_context(load(server.address, request, CONCURRENCY)) for server in servers]
        for warm in (bare, *loads):
            warm(1.0)
        windows = [(bare(options.seconds), *(one(options.seconds) for one in loads)) for _ in range(options.windows)]
    bares, *rates = zip(*windows, strict=True)
    return [
        Result(
            model.name,
            commit,
            took,
            statistics.median(bares),
            statistics.median(served),
            statistics.median(rate / loop for rate, loop in zip(served, bares, strict=True)),
        )
        for commit, took, served in zip(roots, stages, rates, strict=True)
    ]


def _stages(address: str, request: Request, repeats: int = 9) -> dict[str, float]:
    """Return the median milliseconds of each stage, and of the whole request as its sender sees it."""
    seen: dict[str, list[float]] = {}
    with httpx.Client(base_url=address, timeout=120) as client:
        for _ in range(repeats):
            start = time.perf_counter()
            answer = client.post("/v1/damage", content=request.body, headers={"Content-Type": request.content_type})
            total = (time.perf_counter() - start) * 1000
            answer.raise_for_status()
            for entry in answer.headers["Server-Timing"].split(", "):
                stage, duration = entry.split(";dur=")
                seen.setdefault(stage, []).append(float(duration))
            seen.setdefault("total", []).append(total)
    return {stage: round(statistics.median(times[1:]), 2) for stage, times in seen.items()}


@contextmanager
def bare_loops(model: StoredModel, request: Request) -> Iterator[Callable[[float], float]]:
    """Yield a function that runs two bare loops for some seconds and returns pairs per second."""
    context = multiprocessing.get_context("spawn")
    done = context.Value("L", 0)
    go, leave = context.Event(), context.Event()
    ready = context.Barrier(WORKERS + 1)
    arguments = (model, request.pre, request.post, done, go, leave, ready)
    loops = [context.Process(target=_bare_loop, args=arguments, daemon=True) for _ in range(WORKERS)]
    for loop in loops:
        loop.start()
    ready.wait(120)
    try:
        yield lambda seconds: _rate(done, go, seconds)
    finally:
        leave.set()
        go.set()
        for loop in loops:
            loop.join(30)


def _bare_loop(
    model: StoredModel,
    pre: bytes,
    post: bytes,
    done: Synchronized[int],
    go: Event,
    leave: Event,
    ready: threading.Barrier,
) -> None:
    cv2.setNumThreads(1)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.versions[model.newest], options, providers=["CPUExecutionProvider"])
    parts = {"pre": np.frombuffer(pre, np.uint8), "post": np.frombuffer(post, np.uint8)}
    card = model.card
    ready.wait()
    while not leave.is_set():
        go.wait()
        images = {name: np.asarray(cv2.imdecode(part, cv2.IMREAD_COLOR_RGB)) for name, part in parts.items()}
        height, width = images["pre"].shape[:2]
        grid = plan(height, width, card.tile, card.overlap)
        rows = range(len(grid.rows))
        feed = {t.name: np.concatenate([gather(images[t.name], grid, row) for row in rows]) for t in card.inputs}
        if grid.tiles == 1:
            labels = session.run(["label_map"], feed)[0][0]
        else:
            tiles = session.run(["probabilities"], feed)[0].reshape(
                len(rows), -1, card.tile, card.tile, len(card.classes)
            )
            stitcher = Stitcher(grid, len(card.classes))
            labels = np.empty((height, width), np.uint8)
            for below, beside, piece in (piece for row in tiles for piece in stitcher.add_all(row)):
                labels[below, beside] = decide(piece, card.threshold)
        cv2.imencode(".png", labels)
        with done.get_lock():
            done.value += 1


@contextmanager
def load(address: str, request: Request, concurrency: int) -> Iterator[Callable[[float], float]]:
    """Yield a function that keeps the gateway busy for some seconds and returns pairs per second."""
    done = multiprocessing.Value("L", 0)
    go, leave = multiprocessing.Event(), multiprocessing.Event()
    failures: list[int] = []

    def send() -> None:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        while not leave.is_set():
            go.wait()
            connection.request("POST", "/v1/damage", request.body, {"Content-Type": request.content_type})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failures.append(answer.status)
            with done.get_lock():
                done.value += 1
        connection.close()

    senders = [threading.Thread(target=send, daemon=True) for _ in range(concurrency)]
    for sender in senders:
        sender.start()
    try:
        yield lambda seconds: _rate(done, go, seconds)
    finally:
        leave.set()
        go.set()
        for sender in senders:
            sender.join(120)
        if failures:
            raise RuntimeError(f"the gateway answered {sorted(set(failures))}; its figures mean nothing")


def _rate(done: Synchronized[int], go: Event, seconds: float) -> float:
    """Open the gate, let the pipeline fill, count, close the gate and let it drain; return items per second."""
    go.set()
    _next_change(done)
    before, start = done.value, time.perf_counter()
    time.sleep(seconds)
    after, stop = _next_change(done), time.perf_counter()
    go.clear()
    _settle(done)
    return (after - before) / (stop - start)


def _next_change(counter: Synchronized[int]) -> int:
    """Return the counter as soon as it moves, so that a window holds whole items only."""
    now = counter.value
    while counter.value == now:
        time.sleep(0.001)
    return int(counter.value)


def _settle(counter: Synchronized[int]) -> None:
    """Wait until the items that were under way are through."""
    now = -1
    while counter.value != now:
        now = counter.value
        time.sleep(1.0)


def _print(results: list[Result]) -> None:
    print(f"\n1024² pair as PNG, {os.cpu_count()} cores; medians in ms of a request sent alone")
    stages = ["receive", "queue", "decode", "infer", "finish", "encode", "total"]
    print(f"{'model':<14}{'commit':<12}" + "".join(f"{stage:>9}" for stage in stages))
    for result in results:
        named = f"{result.model:<14}{result.commit:<12}"
        print(named + "".join(f"{result.stages_ms.get(stage, 0):>9.1f}" for stage in stages))
    print(f"\nThroughput at {CONCURRENCY} concurrent requests and {WORKERS} workers, pairs per second")
    print(f"{'model':<14}{'commit':<12}{'bare loop':>12}{'gateway':>10}{'share':>8}")
    for result in results:
        rates = f"{result.bare_per_second:>12.2f}{result.gateway_per_second:>10.2f}{result.share:>8.2f}"
        print(f"{result.model:<14}{result.commit:<12}{rates}")


if __name__ == "__main__":
    main()
