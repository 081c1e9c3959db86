"""`python -m tests.load.growth`: how many nodes an area needs, and what a queue does to those who wait.

What one node of two cores does is read from the figures that `make bench` kept. Nodes stand behind a balancer that
gives each request to the node with the fewest, as `deploy/compose.yaml` has it, and each works on one request per core
in the order of arrival, the time of each drawn around the measured mean. Nothing here starts a gateway: it is a sum,
and a simulation that shows at what share of the capacity the sum still holds.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
CORES = 2
TILE_PIXELS = 1024**2
DAY_SECONDS = 86_400
# How much the time of a pair varies around its mean: tiles of a town have more regions to find than fields.
_SPREAD = 0.3


@dataclass(frozen=True)
class Wait:
    """What requests waited for their turn, in multiples of the mean time of work."""

    mean: float
    p99: float


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", type=float, default=100_000, help="km²")
    parser.add_argument("--resolution", type=float, default=0.5, help="metres a pixel")
    parser.add_argument("--hours", type=float, default=24, help="until when all is to be answered")
    parser.add_argument("--load", type=float, default=0.8, help="share of the capacity that is planned with")
    options = parser.parse_args()
    pairs = pairs_of(options.area, options.resolution)
    print(f"{options.area:,.0f} km² at {options.resolution:g} m are {pairs:,} pairs of 1024²")
    print(f"{'model':<14}{'pairs/s':>9}{'pairs/day':>12}{'nodes':>7}")
    for model, rate in measured().items():
        nodes = nodes_for(pairs, rate * options.load, options.hours)
        print(f"{model:<14}{rate:>9.2f}{rate * DAY_SECONDS:>12,.0f}{nodes:>7}")
    print("\nWaiting for a turn, in multiples of the time of work: mean and p99, by nodes and share of the capacity")
    shares = (0.5, 0.8, 0.9, 0.95)
    print(f"{'nodes':<7}" + "".join(f"{share:>14.0%}" for share in shares))
    for nodes in (1, 2, 4, 16):
        waits = [simulated(nodes, share) for share in shares]
        print(f"{nodes:<7}" + "".join(f"{f'{wait.mean:.2f} · {wait.p99:.1f}':>14}" for wait in waits))


def measured() -> dict[str, float]:
    """Return pairs of 1024² per second of one node, by model, as the newest benchmark kept them."""
    kept = json.loads(max(RESULTS.glob("pairs-*.json")).read_text(encoding="utf-8"))
    return {result["model"]: float(result["gateway_per_second"]) for result in kept["results"]}


def pairs_of(area: float, resolution: float) -> int:
    """Return how many pairs of 1024² an area has, in km² and metres a pixel; what overlaps at their borders aside."""
    return math.ceil(area * 1e6 / resolution**2 / TILE_PIXELS)


def nodes_for(pairs: int, rate: float, hours: float) -> int:
    """Return how many nodes of `rate` pairs per second answer so many pairs in so many hours."""
    return math.ceil(pairs / (rate * hours * 3600))


def simulated(nodes: int, share: float, *, requests: int = 40_000, spread: float = _SPREAD, seed: int = 1) -> Wait:
    """Return what requests wait that arrive at random, at a share of what the nodes can do.

    Args:
        nodes: each works on `CORES` requests at once.
        share: of the capacity, below 1.
        requests: how many arrive; a tenth before they are counted.
        spread: deviation of the time of work, as a share of its mean; 1 draws it from the exponential distribution.
        seed: of the draw.
    """
    chance = random.Random(seed)
    gap = 1 / (share * nodes * CORES)
    queues: list[deque[tuple[float, float]]] = [deque() for _ in range(nodes)]
    working, waits, now = [0] * nodes, list[float](), 0.0
    ends: list[tuple[float, int]] = []

    def begin(node: int, at: float, work: float) -> None:
        working[node] += 1
        heapq.heappush(ends, (at + work, node))

    def finish_until(time: float) -> None:
        while ends and ends[0][0] <= time:
            end, node = heapq.heappop(ends)
            working[node] -= 1
            if queues[node]:
                came, work = queues[node].popleft()
                waits.append(end - came)
                begin(node, end, work)

    for _ in range(requests):
        now += chance.expovariate(1 / gap)
        finish_until(now)
        work = chance.expovariate(1) if spread == 1 else max(0.0, chance.gauss(1, spread))
        node = min(range(nodes), key=lambda each: (working[each] + len(queues[each]), chance.random()))
        if working[node] < CORES:
            waits.append(0.0)
            begin(node, now, work)
        else:
            queues[node].append((now, work))
    finish_until(math.inf)
    counted = waits[len(waits) // 10 :]
    return Wait(statistics.fmean(counted), statistics.quantiles(counted, n=100)[98])


if __name__ == "__main__":
    main()
