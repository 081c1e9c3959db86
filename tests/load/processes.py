"""One process with two threads against two processes with one each, on pairs that cost next to no inference.

Both gateways run all the time; windows of load on the one and on the other alternate, so that a noisy machine troubles
both alike. Told of each: pairs per second, the share of the second in the first, how late the event loop woke its
sleepers (of 100 the latest but one), and how eight kept connections were spread. With `--against REV` both of another
commit take turns with these.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.load.bench import CONCURRENCY, WORKERS, drawn_request, load
from tests.load.beside import against_option, commits
from tests.load.record import record, record_option
from tests.support.crew import connect, get, holder
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model

SIDES = (512, 1024)


@dataclass(frozen=True)
class Result:
    """Figures of one size of image and the gateways of one commit; of one process first, of two second."""

    commit: str
    side: int
    pairs_per_second: tuple[float, float]
    share: float
    lag_p99_ms: tuple[float, float]
    busier_of_two: float


def main() -> None:
    """Run the comparison and print a table; keep the figures where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=5, help="pairs of windows per size")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a window")
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    with commits(options.against) as roots:
        results = [result for side in SIDES for result in _measure(side, roots, options.windows, options.seconds)]
    print(f"\nTrivial model, {os.cpu_count()} cores, {CONCURRENCY} concurrent requests")
    columns = f"{'2 / 1':>8}{'lag p99, 1':>14}{'lag p99, 2':>14}{'busier':>9}"
    print(f"{'PNG pair':<10}{'commit':<12}{'1 process':>14}{'2 processes':>14}{columns}")
    for result in results:
        rates = "".join(f"{rate:>12.1f}/s" for rate in result.pairs_per_second)
        lags = "".join(f"{f'≤ {lag:g} ms':>14}" for lag in result.lag_p99_ms)
        print(
            f"{f'{result.side}²':<10}{result.commit:<12}{rates}{result.share:>8.2f}{lags}{result.busier_of_two:>9.1f}"
        )
    record(options.record, "processes", {"results": [asdict(result) for result in results]})


def _measure(side: int, roots: Mapping[str, Path], windows: int, seconds: float) -> list[Result]:
    """Return the figures of one size by the gateways of commits, all of which take turns."""
    request = drawn_request(side)
    settings = {"WORK_THREADS": str(WORKERS), "ENGINE_LANES": str(WORKERS), "LOG_LEVEL": "WARNING"}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        write_trivial_model(Path(folder), "trivial", tile=side, overlap=0)
        servers = [
            stack.enter_context(gateway(Path(folder), root, MODELS_DAMAGE="trivial", SERVER_WORKERS=count, **settings))
            for root in roots.values()
            for count in ("1", "2")
        ]
        busier = [statistics.mean(_busier(two) for _ in range(20)) for two in servers[1::2]]
        loads = [stack.enter_context(load(server.address, request, CONCURRENCY)) for server in servers]
        for loaded in loads:
            loaded(1.0)
        before = [_lags(server) for server in servers]
        rates = list(zip(*([loaded(seconds) for loaded in loads] for _ in range(windows)), strict=True))
        lags = [_p99(earlier, _lags(server)) for earlier, server in zip(before, servers, strict=True)]
    return [
        Result(
            commit,
            side,
            (statistics.median(one), statistics.median(two)),
            statistics.median(second / first for first, second in zip(one, two, strict=True)),
            (lag_of_one, lag_of_two),
            busiest,
        )
        for commit, one, two, lag_of_one, lag_of_two, busiest in zip(
            roots, rates[::2], rates[1::2], lags[::2], lags[1::2], busier, strict=True
        )
    ]


def _lags(server: GatewayProcess) -> dict[float, float]:
    """Return how often the event loop was at most so late, by the buckets' upper bounds in milliseconds."""
    families = text_string_to_metric_families(httpx.get(f"{server.address}/metrics", timeout=30).text)
    return {
        float(sample.labels["le"]) * 1000: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "maskgate_event_loop_lag_seconds_bucket"
    }


def _p99(before: dict[float, float], after: dict[float, float]) -> float:
    """Return the bound that 99 of 100 wake-ups between two scrapes kept to, in milliseconds."""
    counts = {bound: after[bound] - before.get(bound, 0) for bound in after}
    return min(bound for bound, count in counts.items() if count >= 0.99 * max(counts.values()))


def _busier(server: GatewayProcess) -> int:
    """Return how many of eight connections the busier of two processes took."""
    connections = [connect(server) for _ in range(CONCURRENCY)]
    for connection in connections:
        get(connection, "/healthz")
    taken = Counter(holder(server, connection) for connection in connections)
    for connection in connections:
        connection.close()
    return max(taken.values())


if __name__ == "__main__":
    main()
