"""`make bench`, third part: what a click costs.

One session after another on a drawn 1024² picture, each click sent alone, medians over the rounds:

- the first pass over an object, encoder and head;
- the next click on it, whose features are kept, answered as PNG and as JSON with its outlines;
- the next click after loss: the session's store has room for the features of one object alone, so that clicks on two
  in turn find theirs gone;
- the gateway's own share of a next click: all that its sender waits for except inference, by `Server-Timing`.

Ratios are of clicks in one session, so that a noisy machine troubles both alike. Counters of the gateway have to say
that the features were kept and lost as meant, and that each image was decoded once. Measured are the models of the
repository that take further clicks, and the paper's refinement of IOG at full width with weights that mean nothing.
With `--against REV` sessions with the gateway of another commit take turns with those of this one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import math
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from maskgate_client.scenes import draw_scene

from gateway.repository.store import StoredModel, scan
from tests.load.bench import SHIPPED, SIDE, WORKERS
from tests.load.beside import against_option, commits
from tests.load.record import record, record_option
from tests.support.full_width import write_full_width
from tests.support.pictures import UInt8, encode
from tests.support.processes import GatewayProcess, gateway

PNG, JSON = "image/png", "application/json"
SESSIONS = "/v1/interactive/sessions"
FIRST, KEPT, KEPT_JSON, LOST = "first pass", "next click", "next, JSON", "after loss"
STEPS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (FIRST, PNG, {"box": [352, 300, 672, 620], "positive": [[512, 460]]}),
    (KEPT, PNG, {"negative": [[400, 350]]}),
    (KEPT_JSON, JSON, {"positive": [[560, 500]]}),
    ("second object", PNG, {"object": "new", "box": [100, 200, 420, 520], "positive": [[260, 360]]}),
    (LOST, PNG, {"object": 1, "negative": [[640, 600]]}),
)
COUNTERS = {"images_decoded": 1, "session_cache_hits": 2, "session_cache_misses": 3, "session_cache_evictions": 3}
"""What one round adds to the gateway's counters; every miss drives out the features before."""


@dataclass(frozen=True)
class Answer:
    """Milliseconds that the sender waited, and those of them that were inference."""

    total: float
    infer: float


@dataclass(frozen=True)
class Result:
    """Medians of one model and the gateway of one commit; milliseconds by step."""

    commit: str
    model: str
    size: int
    begin_ms: float
    total_ms: dict[str, float]
    own_ms: dict[str, float]
    next_share: float
    lost_share: float


def main() -> None:
    """Run the benchmark and print a table; keep the figures where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="sessions per model")
    parser.add_argument("--models", type=Path, default=SHIPPED, help="repository")
    parser.add_argument("--quick", action="store_true", help="a small network in the place of the full width")
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    picture = draw_scene(1, SIDE).pre
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        roots = stack.enter_context(commits(options.against))
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        if options.quick:
            write_full_width(Path(folder), width=1 / 8, depths="resnet26", size=128)
        else:
            write_full_width(Path(folder))
        shipped, built = (_with_encoder(root) for root in (options.models, Path(folder)))
        if not shipped:
            print(f"\nNo model in {options.models} takes further clicks: only the untrained one is measured.")
        results = [result for each in [*shipped, *built] for result in _measure(*each, picture, options.rounds, roots)]
    _print(results)
    record(options.record, "clicks", {"results": [vars(result) for result in results]})


def _with_encoder(root: Path) -> list[tuple[Path, StoredModel, StoredModel]]:
    """Return the models under `root` that take further clicks, each with its encoder."""
    models = scan(root).models
    heads = [model for model in models.values() if model.card.clicks and model.card.clicks.encoder in models]
    return [(root, head, models[str(head.card.clicks and head.card.clicks.encoder)]) for head in heads]


def _measure(
    models: Path,
    head: StoredModel,
    encoder: StoredModel,
    picture: UInt8,
    rounds: int,
    roots: Mapping[str, Path],
) -> list[Result]:
    """Return the figures of a model by the gateways of commits, whose sessions take turns."""
    features = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in encoder.card.outputs)
    room = {"SESSIONS_BYTES": str(3 * SIDE * SIDE + features * 3 // 2)}
    settings = {"WORK_THREADS": str(WORKERS), "ENGINE_LANES": str(WORKERS), "LOG_LEVEL": "WARNING"}
    with ExitStack() as running:
        measured = [
            _Measured(commit, head, encoder, running.enter_context(gateway(models.resolve(), root, **settings, **room)))
            for commit, root in roots.items()
        ]
        for each in measured:
            each.warm_up(_marked(picture, rounds))
        for number in range(rounds):
            for each in measured:
                each.play(_marked(picture, number))
        return [each.result(rounds) for each in measured]


class _Measured:
    """The gateway of one commit, and what it answered so far."""

    def __init__(self, commit: str, head: StoredModel, encoder: StoredModel, server: GatewayProcess) -> None:
        self._commit, self._head, self._encoder, self._server = commit, head, encoder, server
        self._begins: list[float] = []
        self._answers: dict[str, list[Answer]] = defaultdict(list)
        self._before: dict[str, float] = {}

    def warm_up(self, image: bytes) -> None:
        _round(self._server, self._head.name, image)
        self._before = _counters(self._server)

    def play(self, image: bytes) -> None:
        begin, steps = _round(self._server, self._head.name, image)
        self._begins.append(begin)
        for name, answer in steps:
            self._answers[name].append(answer)

    def result(self, rounds: int) -> Result:
        counted = {name: value - self._before[name] for name, value in _counters(self._server).items()}
        expected = {name: rounds * each for name, each in COUNTERS.items()}
        if counted != expected:
            raise RuntimeError(f"{self._head.name}: counted {counted}, not {expected}; its figures mean nothing")
        clicks, answers = self._encoder.card.clicks, self._answers
        return Result(
            self._commit,
            self._head.name,
            clicks.size if clicks else 0,
            _median(self._begins),
            {name: _median(a.total for a in each) for name, each in answers.items()},
            {name: _median(a.total - a.infer for a in each) for name, each in answers.items()},
            _ratio(answers[KEPT], answers[FIRST]),
            _ratio(answers[LOST], answers[FIRST]),
        )


def _marked(picture: UInt8, number: int) -> bytes:
    """Return the picture as another file for each number, or the features of one round would serve the next."""
    marked = picture.copy()
    marked[0, 0] = number
    return encode(marked)


def _round(server: GatewayProcess, model: str, image: bytes) -> tuple[float, list[tuple[str, Answer]]]:
    """Play one session; return the milliseconds of its beginning, and the answer to each step."""
    body = httpx.Request("POST", "http://x", files={"image": ("image", image)})
    with closing(http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=600)) as connection:
        begin, begun = _ask(connection, f"{SESSIONS}?model={model}", body.read(), dict(body.headers), 201)
        address = f"{SESSIONS}/{json.loads(begun)['id']}"
        steps = [
            (name, _ask(connection, f"{address}/clicks", json.dumps(prompt).encode(), {"Accept": accept}, 200)[0])
            for name, accept, prompt in STEPS
        ]
        connection.request("DELETE", address)
        connection.getresponse().read()
    return begin.total, steps


def _ask(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str], status: int
) -> tuple[Answer, bytes]:
    start = time.perf_counter()
    connection.request("POST", path, body, {name: value for name, value in headers.items() if name != "host"})
    response = connection.getresponse()
    content = response.read()
    total = (time.perf_counter() - start) * 1000
    if response.status != status:
        raise RuntimeError(f"the gateway answered {response.status}: {content[:500]!r}")
    stages = dict(entry.split(";dur=") for entry in response.headers["Server-Timing"].split(", "))
    return Answer(total, float(stages.get("infer", 0))), content


def _counters(server: GatewayProcess) -> dict[str, float]:
    lines = httpx.get(f"{server.address}/metrics").text.splitlines()
    return {
        name: float(next(line.split()[-1] for line in lines if line.startswith(f"maskgate_{name}_total ")))
        for name in COUNTERS
    }


def _ratio(these: list[Answer], those: list[Answer]) -> float:
    """Return the median of what one step took in proportion to another of the same session."""
    return round(statistics.median(a.total / b.total for a, b in zip(these, those, strict=True)), 3)


def _median(values: Iterator[float] | list[float]) -> float:
    return round(statistics.median(values), 2)


def _print(results: list[Result]) -> None:
    print(f"\nClicks on a {SIDE}² PNG, {os.cpu_count()} cores; medians in ms, and shares of the first pass")
    columns = (FIRST, KEPT, KEPT_JSON, LOST)
    print(f"{'model':<34}{'begin':>8}" + "".join(f"{name:>12}" for name in columns) + f"{'next':>8}{'loss':>8}")
    for result in results:
        times = "".join(f"{result.total_ms[name]:>12.1f}" for name in columns)
        print(f"{_name(result):<34}{result.begin_ms:>8.1f}{times}{result.next_share:>8.2f}{result.lost_share:>8.2f}")
    print("\nOf these without inference, in ms")
    for result in results:
        times = "".join(f"{result.own_ms[name]:>12.1f}" for name in columns)
        print(f"{_name(result):<34}{'':>8}{times}")
    print("Each image was decoded once.")


def _name(result: Result) -> str:
    return f"{result.model} ({result.size}²), {result.commit}"


if __name__ == "__main__":
    main()
