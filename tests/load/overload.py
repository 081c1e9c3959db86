"""`make bench`, sixth part: what the gateway does with twice as much as it can do, and with emergencies in a flood.

- capacity: pairs per second in a closed loop that keeps every turn taken;
- twice that, open loop, every request with a deadline: goodput (answers within it) as a share of capacity, p99 of the
  accepted, the share and the time of the refused, and the event loop's lag meanwhile;
- what a refused request costs the gateway, in processor time beside a served one;
- a stream of emergencies alone, and the same under that flood.

Callers share the machine with the gateway; the last line says how much of it they took.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from maskgate_client.scenes import draw_scene
from prometheus_client.parser import text_string_to_metric_families

from tests.load.bench import SHIPPED
from tests.load.callers import Answer, Callers, closed_loop, open_loop
from tests.load.record import record, record_option
from tests.support.pictures import encode
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model

SIDE = 512
OVERLOAD = 2.0
# Of capacity: what emergencies take when they come.
EMERGENCIES = 0.1
TRIVIAL = "trivial"


@dataclass(frozen=True)
class Figures:
    """What was measured; times in milliseconds, rates per second."""

    model: str
    capacity: float
    service_ms: float
    deadline_s: float
    offered: float
    goodput: float
    goodput_share: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    late: int
    refused_share: float
    refusal_p50_ms: float
    refusal_p99_ms: float
    shed: int
    refusal_cpu_ms: float
    served_cpu_ms: float
    lag_p99_ms: float
    callers_share: float
    emergency_idle_p99_ms: float
    emergency_flood_p99_ms: float
    emergency_bound_ms: float
    emergency_refused: int


def main() -> None:
    """Run the benchmark and print its figures; keep them where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bd-fcn", help=f"of the shipped repository, or {TRIVIAL}")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase")
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds that each request gives its answer")
    record_option(parser)
    options = parser.parse_args()
    with served(options.model) as server:
        figures = asyncio.run(_measure(server, options.model, options.seconds, options.deadline))
    _print(figures)
    record(options.record, "overload", {"figures": asdict(figures)})


@contextmanager
def served(model: str) -> Iterator[GatewayProcess]:
    """Run a gateway whose default model of damage is `model` of the shipped repository, or a trivial one."""
    with tempfile.TemporaryDirectory() as folder:
        root = SHIPPED
        if model == TRIVIAL:
            root = Path(folder)
            write_trivial_model(root, TRIVIAL, tile=SIDE, overlap=0)
        with gateway(root, LOG_LEVEL="WARNING", MODELS_DAMAGE=model) as server:
            yield server


async def _measure(server: GatewayProcess, model: str, seconds: float, deadline: float) -> Figures:
    scene = draw_scene(1, SIDE)
    pair = {"pre": ("pre", encode(scene.pre)), "post": ("post", encode(scene.post))}
    prepared = httpx.Request("POST", "http://x", files=pair)
    callers = Callers(server.address, "/v1/damage", {"Content-Type": prepared.headers["Content-Type"]}, prepared.read())
    turns = os.cpu_count() or 1
    within = partial(callers.call, Maskgate_Deadline=deadline)
    emergency = partial(within, Maskgate_Priority="emergency")

    await closed_loop(callers.call, 2 * turns, seconds / 5)
    begun, spent = time.monotonic(), _cpu_of(server)
    answers = await closed_loop(callers.call, 2 * turns, seconds)
    capacity = len(answers) / (time.monotonic() - begun)
    served_cpu = (_cpu_of(server) - spent) / len(answers)

    spent = _cpu_of(server)
    hopeless = await closed_loop(partial(callers.call, Maskgate_Deadline="0.001"), 1, seconds / 10)
    refusal_cpu = (_cpu_of(server) - spent) / len(hopeless)
    if any(answer.status != 503 for answer in hopeless):
        raise RuntimeError("the gateway worked on what could not be done in time")

    before, own, begun = _metrics(server), _own_cpu(), time.monotonic()
    flooded = await open_loop(within, OVERLOAD * capacity, seconds)
    passed, after = time.monotonic() - begun, _metrics(server)
    share = (_own_cpu() - own) / passed / turns
    accepted = [answer for answer in flooded if answer.status == 200]
    refused = sorted((answer for answer in flooded if answer.status == 503), key=lambda answer: answer.seconds)
    shed = round(_sum(after, "maskgate_shed_total") - _sum(before, "maskgate_shed_total"))
    # Those that were let in and shed later are told last.
    at_once = refused[: max(0, len(refused) - shed)]
    good = [answer for answer in accepted if answer.seconds <= deadline]

    alone = await open_loop(emergency, EMERGENCIES * capacity, seconds)
    _, urgent = await asyncio.gather(
        open_loop(within, OVERLOAD * capacity, seconds),
        open_loop(emergency, EMERGENCIES * capacity, seconds, seed=2),
    )
    callers.close()
    idle, flood = (_percentile([one for one in some if one.status == 200], 99) for some in (alone, urgent))
    service = turns / capacity * 1000
    return Figures(
        model=model,
        capacity=capacity,
        service_ms=service,
        deadline_s=deadline,
        offered=len(flooded) / seconds,
        goodput=len(good) / passed,
        goodput_share=len(good) / passed / capacity,
        accepted_p50_ms=_percentile(accepted, 50),
        accepted_p99_ms=_percentile(accepted, 99),
        late=len(flooded) - len(good) - len(refused),
        refused_share=len(refused) / len(flooded),
        refusal_p50_ms=_percentile(at_once, 50),
        refusal_p99_ms=_percentile(at_once, 99),
        shed=shed,
        refusal_cpu_ms=refusal_cpu * 1000,
        served_cpu_ms=served_cpu * 1000,
        lag_p99_ms=_lag(before, after) * 1000,
        callers_share=share,
        emergency_idle_p99_ms=idle,
        emergency_flood_p99_ms=flood,
        emergency_bound_ms=1.5 * idle + service,
        emergency_refused=sum(one.status != 200 for one in urgent),
    )


def _percentile(answers: Sequence[Answer], percent: float) -> float:
    """Return a percentile of the milliseconds that answers took; nan of none."""
    return float(np.percentile([answer.seconds * 1000 for answer in answers], percent)) if answers else float("nan")


def _cpu_of(server: GatewayProcess) -> float:
    """Return the processor seconds that the gateway has taken so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


Samples = dict[tuple[str, str], float]


def _metrics(server: GatewayProcess) -> Samples:
    """Return every sample of the gateway by name and, of buckets, upper bound; summed over other labels."""
    samples: Samples = {}
    for family in text_string_to_metric_families(httpx.get(f"{server.address}/metrics").text):
        for sample in family.samples:
            key = sample.name, sample.labels.get("le", "")
            samples[key] = samples.get(key, 0.0) + sample.value
    return samples


def _sum(samples: Samples, name: str) -> float:
    return samples.get((name, ""), 0.0)


def _lag(before: Samples, after: Samples) -> float:
    """Return the p99 of the event loop's lag between two readings, in seconds, interpolated within its bucket."""
    name = "maskgate_event_loop_lag_seconds_bucket"
    counts = {float(le): after[key] - before.get(key, 0.0) for key in after for le in [key[1]] if key[0] == name}
    bounds = sorted(counts)
    wanted, lower, below = 0.99 * counts[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted:
            share = (wanted - below) / (counts[bound] - below) if counts[bound] > below else 1.0
            return lower + (bound - lower) * share if np.isfinite(bound) else lower
        lower, below = bound, counts[bound]
    return lower


def _print(figures: Figures) -> None:
    f = figures
    print(f"\n{SIDE}² pairs as PNG through {f.model}, {os.cpu_count()} cores, deadline {f.deadline_s:g} s")
    print(f"capacity {f.capacity:.1f}/s, {f.service_ms:.0f} ms of a turn each; offered {f.offered:.1f}/s")
    print(f"{'goodput':<34}{f.goodput:>9.1f}/s  {f.goodput_share:.2f} of capacity (aim 0.90)")
    print(f"{'accepted, p50 and p99':<34}{f.accepted_p50_ms:>9.0f} ms {f.accepted_p99_ms:.0f} ms; late {f.late}")
    print(f"{'refused':<34}{f.refused_share:>9.0%}     {f.shed} of them shed while they waited")
    print(f"{'time to refuse, p50 and p99':<34}{f.refusal_p50_ms:>9.1f} ms {f.refusal_p99_ms:.1f} ms")
    print(f"{'processor, refused and served':<34}{f.refusal_cpu_ms:>9.2f} ms {f.served_cpu_ms:.2f} ms")
    print(f"{'event loop lag p99':<34}{f.lag_p99_ms:>9.1f} ms (aim 10)")
    flooded = f"{f.emergency_flood_p99_ms:.0f}"
    print(f"{'emergencies p99, alone and flooded':<34}{f.emergency_idle_p99_ms:>9.0f} ms {flooded} ms")
    print(f"{'  bound: 1.5 × alone + a service':<34}{f.emergency_bound_ms:>9.0f} ms; refused {f.emergency_refused}")
    print(f"{'share of the callers themselves':<34}{f.callers_share:>9.0%}     of the machine")


if __name__ == "__main__":
    main()
