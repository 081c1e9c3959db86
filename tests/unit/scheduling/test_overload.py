"""At twice what can be done: as much is done as ever, in time, and what was begun is finished; in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.errors import WouldBeLate
from gateway.observability.metrics import Telemetry
from gateway.observability.place import tallies
from gateway.scheduling.admission import Admission
from gateway.scheduling.lanes import Lane, Turns
from gateway.scheduling.prices import Prices
from gateway.scheduling.queue import Queue
from tests.support.admitted import admit
from tests.support.virtual_time import run_virtually

TURNS, MEAN, BYTES = 2, 0.05, 100_000
CAPACITY = TURNS / MEAN
UPLOAD = 0.005


@dataclass
class Flood:
    """Requests that come at random, their work scattered around the mean, and what became of them."""

    deadline: float
    scatter: float
    outcomes: Counter[str] = field(default_factory=Counter)
    waits: dict[Lane, list[float]] = field(default_factory=lambda: {"emergency": [], "bulk": []})

    def __post_init__(self) -> None:
        telemetry = Telemetry()
        clock = lambda: time.monotonic()  # noqa: E731
        queue = Queue(Turns(TURNS, 10), 5, telemetry, clock)
        self.admission = Admission(256, 1 << 40, 120, queue, Prices(clock), telemetry, tallies(None))
        self.random = np.random.default_rng(7)

    async def one(self, lane: Lane) -> None:
        due, work = time.monotonic(), MEAN * self.random.lognormal(-(self.scatter**2) / 2, self.scatter)
        try:
            with admit(self.admission, BYTES, self.deadline, lane) as reservation:
                await asyncio.sleep(UPLOAD)
                reservation.grow(BYTES)
                reservation.received()
                async with reservation.ticket.turn():
                    await asyncio.sleep(work)
                reservation.served(work)
        except WouldBeLate:
            self.outcomes["refused" if time.monotonic() == due else "shed"] += 1
            return
        taken = time.monotonic() - due
        self.waits[lane].append(taken)
        self.outcomes["good" if taken <= self.deadline else "late"] += 1

    async def stream(self, per_second: float, seconds: float, lane: Lane = "bulk") -> None:
        tasks = []
        for _ in range(round(per_second * seconds)):
            await asyncio.sleep(self.random.exponential(1 / per_second))
            tasks.append(asyncio.create_task(self.one(lane)))
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("scatter", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("deadline", [0.3, 1.0, 4.0])
def test_goodput_at_twice_the_capacity(monkeypatch: pytest.MonkeyPatch, deadline: float, scatter: float) -> None:
    flood = Flood(deadline, scatter)

    async def scenario() -> float:
        await flood.stream(CAPACITY / 2, 2)
        flood.outcomes.clear()
        start = time.monotonic()
        await flood.stream(2 * CAPACITY, 20)
        return time.monotonic() - start

    seconds = run_virtually(monkeypatch, scenario)
    said = flood.outcomes
    assert said["good"] / seconds >= 0.9 * CAPACITY
    assert said["late"] <= (0.01 if scatter < 0.5 else 0.07) * (said["good"] + said["late"])
    # Most are told at once.
    assert said["refused"] > 3 * said["shed"]


def test_below_capacity_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = Flood(1.0, 0.4)
    run_virtually(monkeypatch, lambda: flood.stream(0.7 * CAPACITY, 30))
    assert set(flood.outcomes) == {"good"}


def test_emergencies_in_a_flood_wait_for_a_turn_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = Flood(2.0, 0.3)

    async def scenario() -> None:
        await asyncio.gather(flood.stream(2 * CAPACITY, 20), flood.stream(0.1 * CAPACITY, 20, "emergency"))

    run_virtually(monkeypatch, scenario)
    urgent = flood.waits["emergency"]
    assert len(urgent) == round(0.1 * CAPACITY * 20)
    alone = UPLOAD + MEAN * np.exp(2.33 * flood.scatter)
    assert np.percentile(urgent, 99) <= 1.5 * alone + MEAN
    assert len(flood.waits["bulk"]) / 20 > 0.7 * CAPACITY
