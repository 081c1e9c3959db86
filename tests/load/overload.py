"""`make bench`, last part: what the gateway does with twice as much as it can do, and with emergencies in a flood.

Rounds of four windows on drawn 512² pairs sent as PNG, so that a noisy machine troubles all alike:

- capacity: a closed loop that keeps every turn taken;
- twice that, open loop, every request with a deadline: goodput (answers within it) as a share of the capacity just
  measured, p99 of the accepted, the share of the refused and how soon they are told, and the event loop's lag;
- emergencies alone, a tenth of capacity;
- the same emergencies under the flood.

And what a refused request costs the gateway in processor time, beside a served one. Callers share the machine with the
gateway; the last lines say how much of it they took, and how late the event loop wakes where nothing is asked of it.
With `--against REV` the gateway of another commit runs too, and has its rounds in turns with this one's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from maskgate_client.scenes import draw_scene
from prometheus_client.parser import text_string_to_metric_families

from tests.load.bench import SHIPPED
from tests.load.beside import against_option, commits
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

Call = Callable[[float], Awaitable[Answer]]
Samples = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Figures:
    """What was measured of the gateway of one commit.

    Rates are per second; they, shares and the event loop's lag are medians over the rounds, percentiles of answers are
    over all of them.
    """

    commit: str
    model: str
    deadline_seconds: float
    capacity: float
    service_ms: float
    goodput: float
    goodput_share: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    accepted_late: int
    failed: int
    refused_share: float
    refusal_p50_ms: float
    refusal_p99_ms: float
    shed: int
    refused_cpu_ms: float
    served_cpu_ms: float
    lag_p99_ms: float
    lag_idle_p99_ms: float
    callers_share: float
    emergency_alone_p99_ms: float
    emergency_flooded_p99_ms: float
    emergency_bound_ms: float
    emergency_refused: int


@dataclass(frozen=True)
class Flood:
    """A window of twice the capacity, and what became of it."""

    capacity: float
    seconds: float
    answers: list[Answer]
    shed: int
    callers_share: float


def main() -> None:
    """Run the benchmark and print its figures; keep them where `--record` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bd-fcn", help=f"of the shipped repository, or {TRIVIAL}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a window")
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds that each request gives its answer")
    against_option(parser)
    record_option(parser)
    options = parser.parse_args()
    with ExitStack() as stack:
        roots = stack.enter_context(commits(options.against))
        servers = {commit: stack.enter_context(served(options.model, root)) for commit, root in roots.items()}
        results = asyncio.run(_measure(servers, options))
    for figures in results:
        _print(figures)
    record(options.record, "overload", {"results": [asdict(figures) for figures in results]})


@contextmanager
def served(model: str, root: Path) -> Iterator[GatewayProcess]:
    """Run the gateway of a checkout, whose default of damage is `model` of the shipped repository, or a trivial one."""
    with tempfile.TemporaryDirectory() as folder:
        models = SHIPPED.resolve()
        if model == TRIVIAL:
            models = Path(folder)
            write_trivial_model(models, TRIVIAL, tile=SIDE, overlap=0)
        with gateway(models, root, LOG_LEVEL="WARNING", MODELS_DAMAGE=model) as server:
            yield server


async def _measure(servers: Mapping[str, GatewayProcess], options: argparse.Namespace) -> list[Figures]:
    """Return the figures of the gateways of commits, whose rounds take turns."""
    measured = [_Measured(commit, server, options) for commit, server in servers.items()]
    for each in measured:
        await each.warm_up()
    for number in range(options.rounds):
        for each in measured:
            await each.play(number)
    return [await each.result() for each in measured]


class _Measured:
    """The gateway of one commit, and what it answered so far."""

    def __init__(self, commit: str, server: GatewayProcess, options: argparse.Namespace) -> None:
        self._commit, self._server, self._model = commit, server, options.model
        self._seconds, self._deadline = options.seconds, options.deadline
        scene = draw_scene(1, SIDE)
        pair = {"pre": ("pre", encode(scene.pre)), "post": ("post", encode(scene.post))}
        prepared = httpx.Request("POST", "http://x", files=pair)
        content_type = {"Content-Type": prepared.headers["Content-Type"]}
        self._callers = Callers(server.address, "/v1/damage", content_type, prepared.read())
        self._within = partial(self._callers.call, Maskgate_Deadline=options.deadline)
        self._floods, self._alone, self._urgent = list[Flood](), list[Answer](), list[Answer]()
        self._lags, self._idle_lag = list[float](), 0.0

    async def warm_up(self) -> None:
        """See how late the event loop wakes at rest, and then ask for what loads with the first answers."""
        resting = _metrics(self._server)
        await asyncio.sleep(self._seconds / 2)
        self._idle_lag = _lag(resting, _metrics(self._server))
        await closed_loop(self._callers.call, 2 * _turns(), self._seconds / 2)

    async def play(self, number: int) -> None:
        """Play one round."""
        within, emergency = self._within, partial(self._within, Maskgate_Priority="emergency")
        before = _metrics(self._server)
        flood = await _flood(self._server, self._callers.call, within, self._seconds, number)
        rate = flood.capacity
        self._floods.append(flood)
        self._alone += await open_loop(emergency, EMERGENCIES * rate, self._seconds, number)
        both = (
            open_loop(within, OVERLOAD * rate, self._seconds, number),
            open_loop(emergency, EMERGENCIES * rate, self._seconds),
        )
        self._urgent += (await asyncio.gather(*both))[1]
        self._lags.append(_lag(before, _metrics(self._server)))

    async def result(self) -> Figures:
        """See what single requests cost, and return all figures."""
        server, call, floods, deadline = self._server, self._callers.call, self._floods, self._deadline
        served_cpu, _ = await _cpu_per_answer(server, call, self._seconds / 2)
        hopeless = partial(call, Maskgate_Deadline="0.001")
        refused_cpu, too_late = await _cpu_per_answer(server, hopeless, self._seconds / 5)
        self._callers.close()
        if any(answer.status != 503 for answer in too_late):
            raise RuntimeError("the gateway worked on what could not be done in time")
        answers = [answer for flood in floods for answer in flood.answers]
        accepted = [answer for answer in answers if answer.status == 200]
        refused = sorted((answer for answer in answers if answer.status == 503), key=lambda answer: answer.seconds)
        shed = sum(flood.shed for flood in floods)
        # Those that were let in and shed later are told last.
        at_once = refused[: max(0, len(refused) - shed)]
        capacity = statistics.median(flood.capacity for flood in floods)
        idle_p99 = _percentile([answer for answer in self._alone if answer.status == 200], 99)
        return Figures(
            commit=self._commit,
            model=self._model,
            deadline_seconds=deadline,
            capacity=capacity,
            service_ms=_turns() / capacity * 1000,
            goodput=statistics.median(_goodput(flood, deadline) for flood in floods),
            goodput_share=statistics.median(_goodput(flood, deadline) / flood.capacity for flood in floods),
            accepted_p50_ms=_percentile(accepted, 50),
            accepted_p99_ms=_percentile(accepted, 99),
            accepted_late=sum(answer.seconds > deadline for answer in accepted),
            failed=len(answers) - len(accepted) - len(refused),
            refused_share=len(refused) / len(answers),
            refusal_p50_ms=_percentile(at_once, 50),
            refusal_p99_ms=_percentile(at_once, 99),
            shed=shed,
            refused_cpu_ms=refused_cpu,
            served_cpu_ms=served_cpu,
            lag_p99_ms=statistics.median(self._lags),
            lag_idle_p99_ms=self._idle_lag,
            callers_share=statistics.median(flood.callers_share for flood in floods),
            emergency_alone_p99_ms=idle_p99,
            emergency_flooded_p99_ms=_percentile([answer for answer in self._urgent if answer.status == 200], 99),
            emergency_bound_ms=1.5 * idle_p99 + _turns() / capacity * 1000,
            emergency_refused=sum(answer.status != 200 for answer in self._urgent),
        )


def _turns() -> int:
    return os.cpu_count() or 1


async def _flood(server: GatewayProcess, call: Call, within: Call, seconds: float, seed: int) -> Flood:
    """Measure capacity, offer twice that for some seconds, and return what came of it when the last is answered."""
    cores, begun = os.cpu_count() or 1, time.monotonic()
    capacity = len(await closed_loop(call, 2 * cores, seconds)) / (time.monotonic() - begun)
    before, own, begun = _metrics(server), _own_cpu(), time.monotonic()
    answers = await open_loop(within, OVERLOAD * capacity, seconds, seed)
    passed = time.monotonic() - begun
    shed = _sum(_metrics(server), "maskgate_shed_total") - _sum(before, "maskgate_shed_total")
    return Flood(capacity, passed, answers, round(shed), (_own_cpu() - own) / passed / cores)


def _goodput(flood: Flood, deadline: float) -> float:
    return sum(answer.status == 200 and answer.seconds <= deadline for answer in flood.answers) / flood.seconds


async def _cpu_per_answer(server: GatewayProcess, call: Call, seconds: float) -> tuple[float, list[Answer]]:
    """Return the milliseconds of processor time that the gateway takes per request of one caller, and the answers."""
    before = _cpu_of(server)
    answers = await closed_loop(call, 1, seconds)
    return (_cpu_of(server) - before) / len(answers) * 1000, answers


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
    """Return the p99 of the event loop's lag between two readings, in milliseconds, interpolated in its bucket."""
    name = "maskgate_event_loop_lag_seconds_bucket"
    counts = sorted((float(le), after[key, le] - before.get((key, le), 0)) for key, le in after if key == name)
    wanted, lower, below = 0.99 * counts[-1][1], 0.0, 0.0
    for bound, count in counts:
        if count >= wanted and np.isfinite(bound):
            return 1000 * (lower + (bound - lower) * (wanted - below) / max(count - below, 1))
        lower, below = bound, count
    return float("inf")


def _print(f: Figures) -> None:
    def line(what: str, first: str, rest: str = "") -> None:
        print(f"{what:<36}{first:>12}  {rest}")

    print(f"\n{f.commit}: {SIDE}² pairs as PNG through {f.model}, {_turns()} cores, deadline {f.deadline_seconds:g} s")
    line("capacity", f"{f.capacity:.1f}/s", f"{f.service_ms:.0f} ms of a turn each; then twice that is offered")
    line("goodput", f"{f.goodput:.1f}/s", f"{f.goodput_share:.2f} of capacity (aim 0.90)")
    line("accepted, p50 and p99", f"{f.accepted_p50_ms:.0f} ms", f"{f.accepted_p99_ms:.0f} ms; {f.accepted_late} late")
    line("refused", f"{f.refused_share:.0%}", f"{f.shed} of them shed while they waited; {f.failed} failed otherwise")
    line("time to refuse, p50 and p99", f"{f.refusal_p50_ms:.1f} ms", f"{f.refusal_p99_ms:.1f} ms")
    line("processor, refused and served", f"{f.refused_cpu_ms:.2f} ms", f"{f.served_cpu_ms:.2f} ms")
    line("event loop lag p99", f"{f.lag_p99_ms:.1f} ms", f"(aim 10); at rest {f.lag_idle_p99_ms:.1f} ms")
    line(
        "emergencies p99, alone and flooded",
        f"{f.emergency_alone_p99_ms:.0f} ms",
        f"{f.emergency_flooded_p99_ms:.0f} ms; 1.5 × alone + a turn: {f.emergency_bound_ms:.0f} ms; "
        f"{f.emergency_refused} refused",
    )
    line("processor taken by the callers", f"{f.callers_share:.0%}", "of the machine")


if __name__ == "__main__":
    main()
