"""Arrivals: as many as the schedule says, when it says so, and whatever became of earlier ones."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskgate_load.arrivals import PATTERNS, Stretch, arrivals, dispatch, rate_at, schedule

RATES = st.just(0.0) | st.floats(1e-3, 40)
STRETCHES = st.builds(Stretch, st.floats(0.5, 8), RATES, RATES)
SCHEDULES = st.lists(STRETCHES, min_size=1, max_size=4)


class Clock:
    """Time that passes when someone sleeps, a little longer than asked for, or works."""

    def __init__(self, oversleeps: float = 0.0) -> None:
        self.now = 100.0
        self._oversleeps = oversleeps

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds + self._oversleeps


def expected_until(load: list[Stretch], when: float) -> float:
    """Return how many arrivals are expected before `when`, by adding trapezes up."""
    total, began = 0.0, 0.0
    for stretch in load:
        part = min(max(0.0, when - began), stretch.seconds)
        middle = stretch.begin + (stretch.end - stretch.begin) * part / stretch.seconds / 2
        total, began = total + part * middle, began + stretch.seconds
    return total


@given(SCHEDULES, st.integers(0, 1000))
def test_arrivals_come_in_order_within_the_schedule(load: list[Stretch], seed: int) -> None:
    times = list(arrivals(load, Random(seed)))
    assert all(0 <= one <= other for one, other in pairwise(times))
    assert all(time <= sum(stretch.seconds for stretch in load) + 1e-6 for time in times)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_gaps_are_exponential_and_counts_those_of_the_pattern(pattern: str) -> None:
    (known,) = (one for one in PATTERNS if one == pattern)
    load = schedule(known, 40, 200)
    times = list(arrivals(load, Random(3)))
    expected = expected_until(list(load), 200)
    assert abs(len(times) - expected) < 4 * expected**0.5
    gaps = np.diff([expected_until(list(load), time) for time in times])
    # A Poisson process has as much spread as mean; a metronome has none.
    assert gaps.mean() == pytest.approx(1, abs=0.05)
    assert gaps.std() == pytest.approx(1, abs=0.08)


def test_patterns_say_what_they_are_about() -> None:
    assert {rate_at(schedule("steady", 8, 60), at) for at in (0, 30, 59.9)} == {8}
    step = schedule("step", 8, 60)
    assert [rate_at(step, at) for at in (5, 15, 25, 35, 45, 55)] == [2, 4, 6, 8, 12, 4]
    assert max(rate_at(schedule("burst", 8, 60), at) for at in range(60)) == 16
    ramp = schedule("ramp", 8, 60)
    assert [rate_at(ramp, at) for at in (0, 15, 30, 45)] == pytest.approx([0, 4, 8, 12])
    assert rate_at(ramp, 60) == 0


@pytest.mark.parametrize(("rate", "seconds"), [(0, 10), (-1, 10), (1, 0)])
def test_a_load_of_nothing_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        schedule("steady", rate, seconds)


@given(st.lists(st.floats(0, 50), max_size=50), st.floats(0, 0.5), st.floats(0, 2))
def test_each_is_launched_when_it_is_due_or_late_but_never_before_and_keeps_its_time(
    gaps: list[float], oversleeps: float, work: float
) -> None:
    clock, launched = Clock(oversleeps), []
    times = list(100 + np.cumsum(gaps))

    def launch(due: float) -> None:
        launched.append((due, clock.now))
        clock.now += work

    dispatch(times, launch, clock, clock.sleep)
    assert [due for due, _ in launched] == times
    before = 100.0
    for due, now in launched:
        assert now >= due
        assert now <= max(due, before) + oversleeps + 1e-6
        before = now + work


def test_who_is_late_does_not_push_back_those_after() -> None:
    clock, launched = Clock(), []

    def launch(due: float) -> None:
        launched.append(clock.now)
        clock.now += 10 if len(launched) == 1 else 0

    dispatch([101, 102, 103, 120], launch, clock, clock.sleep)
    assert launched == [101, 111, 111, 120]
