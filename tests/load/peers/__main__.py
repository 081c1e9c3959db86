"""`make bench-peers`: the same pair-to-mask work through this gateway, through its peers, and through nothing at all.

Two drawn PNGs in, an indexed or grey PNG of their label map out, with a model that costs next to nothing and whose tile
is the picture. This gateway runs as it does by default, with metrics, admission and logs on, in one process and in two,
as the peers do; each peer as its documentation has it, on two cores, in an environment of its own; the bare loop is two
processes that decode, infer and encode without a server. All answers must have the same pixels. Windows alternate in
one run, so that a noisy machine troubles all alike, and a share is of the bare loop's window in the same round. With
`--against REV` the gateway of another commit is two more of them, in one process and in two.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np

from gateway.repository.store import scan
from tests.load.bench import Request, bare_loops, drawn_request
from tests.load.beside import against_option, checkout
from tests.load.peers.report import BARE, FORMER, GATEWAY, OURS, PROCESSES, figures, plot, readings, shortfalls, table
from tests.load.peers.sender import PeerMissing, Window, load
from tests.load.peers.servers import PEERS, Peer, serving, versions_of
from tests.load.record import record, record_option, versions
from tests.support.pictures import UInt8, decode
from tests.support.processes import gateway
from tests.support.trivial import label_table, write_trivial_model

AIMS = {512: 0.95, 1024: 1.05}
_CLASSES = 5

Measure = Callable[[int, float], Window]
"""Return the window of a contestant at a side, so many seconds long."""


def main() -> None:
    """Run the benchmark and print a table; keep the figures, the table and a plot where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="windows of each contestant per size")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window")
    parser.add_argument(
        "--smoke", action="store_true", help="one round of pairs of 512², and no peer but FastAPI of here"
    )
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    sides = (512,) if options.smoke else tuple(AIMS)
    rounds = 1 if options.smoke else options.rounds
    peers = [(peer, Path(sys.executable) if options.smoke else peer.python) for peer in PEERS]
    missing: dict[str, str] = {}
    told = dict.fromkeys(OURS, versions()["maskgate"])
    libraries: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        repository = Path(folder) / "models"
        requests = {side: drawn_request(side) for side in sides}
        for side in sides:
            write_trivial_model(repository, _model(side), tile=side, overlap=0, classes=_CLASSES)
        contestants: dict[str, Measure] = {
            BARE: running.enter_context(_bare(repository, requests)),
            GATEWAY: running.enter_context(_gateway(repository, requests)),
            PROCESSES: running.enter_context(_gateway(repository, requests, SERVER_WORKERS="2")),
        }
        if options.against:
            root = running.enter_context(checkout(options.against))
            for workers, former in zip(("1", "2"), FORMER.values(), strict=True):
                contestants[former] = running.enter_context(
                    _gateway(repository, requests, root, SERVER_WORKERS=workers)
                )
                told[former] = options.against
        for peer, python in peers[:1] if options.smoke else peers:
            try:
                libraries[peer.name] = versions_of(peer, python)
                contestants[peer.name] = running.enter_context(_peer(peer, python, repository, requests))
                told[peer.name] = libraries[peer.name][peer.distribution]
            except PeerMissing as reason:
                missing[peer.name] = str(reason)
        windows = _alternate(contestants, sides, rounds, options.seconds, missing)
    read = readings(windows)
    notes = shortfalls(read, AIMS) or ["No aim was missed, and no peer is ahead."]
    document = table(read, told, missing, notes)
    print(f"\n{document}")
    kept = {"rounds": rounds, "seconds": options.seconds, **figures(read), "missing": missing}
    path = record(options.record, "peers", {"versions": versions() | {"peers": libraries}, **kept})
    if path is not None:
        path.with_suffix(".md").write_text(document, encoding="utf-8")
        plot(read, AIMS, path.with_suffix(".svg"))


def _model(side: int) -> str:
    return f"trivial-{side}"


def _alternate(
    contestants: dict[str, Measure], sides: tuple[int, ...], rounds: int, seconds: float, missing: dict[str, str]
) -> dict[str, dict[int, list[Window]]]:
    """Return the windows of all, each round beginning with another; a peer that fails is left out and put down."""
    names = list(contestants)
    windows: dict[str, dict[int, list[Window]]] = {name: {side: [] for side in sides} for name in names}
    for turn in range(rounds):
        for side in sides:
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                if name in missing:
                    continue
                try:
                    windows[name][side].append(contestants[name](side, seconds))
                except PeerMissing as reason:
                    if name in (BARE, *OURS):
                        raise
                    missing[name] = str(reason)
                    continue
                print(f"{name:<13}{side:>5}² {windows[name][side][-1].per_second:8.2f} pairs/s", flush=True)
    return {name: measured for name, measured in windows.items() if name not in missing}


@contextmanager
def _bare(repository: Path, requests: dict[int, Request]) -> Iterator[Measure]:
    models = scan(repository).models
    with ExitStack() as running:
        loops = {
            side: running.enter_context(bare_loops(models[_model(side)], request)) for side, request in requests.items()
        }
        yield lambda side, seconds: Window(loops[side](seconds))


@contextmanager
def _gateway(
    repository: Path, requests: dict[int, Request], root: Path | None = None, **settings: str
) -> Iterator[Measure]:
    with gateway(repository, root, **settings) as server:
        urls = {side: f"{server.address}/v1/damage?model={_model(side)}" for side in requests}
        _check_answers(urls, requests)
        yield lambda side, seconds: load(urls[side], requests[side], seconds)


@contextmanager
def _peer(peer: Peer, python: Path, repository: Path, requests: dict[int, Request]) -> Iterator[Measure]:
    with serving(peer, python, repository, next(iter(requests.values()))) as url:
        urls = dict.fromkeys(requests, url)
        _check_answers(urls, requests)
        yield lambda side, seconds: load(urls[side], requests[side], seconds)


def _check_answers(urls: dict[int, str], requests: dict[int, Request]) -> None:
    """See that a server answers with the label maps that the model makes.

    Raises:
        PeerMissing: it does not.
    """
    for side, request in requests.items():
        answer = httpx.post(
            urls[side], content=request.body, headers={"Content-Type": request.content_type}, timeout=60
        )
        if answer.status_code != 200:
            raise PeerMissing(f"answered a pair of {side}² with {answer.status_code}")
        if not np.array_equal(decode(answer.content), _expected(request)):
            raise PeerMissing(f"answered a pair of {side}² with other pixels than the model's")


def _expected(request: Request) -> UInt8:
    green: UInt8 = decode(request.post)[..., 1]
    return np.asarray(label_table(_CLASSES)[green], np.uint8)


if __name__ == "__main__":
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Ended from outside, it takes its servers along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    main()
