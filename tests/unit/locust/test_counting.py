"""Percentiles, windows and slopes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskgate_load.histogram import Histogram
from maskgate_load.ledger import OUTCOMES, Key, Ledger
from maskgate_load.trend import theil_sen

TIMES = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=200)
KEY: Key = ("pairs", "bulk")


def counted(times: list[float]) -> Histogram:
    histogram = Histogram()
    for time in times:
        histogram.add(time)
    return histogram


@given(TIMES, st.floats(0.01, 1))
def test_quantiles_are_right_to_one_in_a_hundred(times: list[float], share: float) -> None:
    exact = sorted(times)[max(1, math.ceil(share * len(times))) - 1]
    assert counted(times).quantile(share) == pytest.approx(exact, rel=0.0101)
    assert counted(times).largest == max(times)


@given(TIMES, TIMES)
def test_two_histograms_add_up_to_that_of_all(some: list[float], others: list[float]) -> None:
    both = counted(some)
    both.merge(counted(others))
    assert both.to_json() == counted(some + others).to_json()
    read = Histogram.from_json(json.loads(json.dumps(both.to_json())))
    assert (read.to_json(), read.count) == (both.to_json(), len(some) + len(others))


def test_no_times_have_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 60), st.sampled_from(OUTCOMES)), max_size=60),
    st.integers(1, 30),
)
def test_windows_grow_and_lose_nothing(asked: list[tuple[float, float, str]], most: int) -> None:
    ledger = Ledger(1.0, most)
    for due, took, name in asked:
        (outcome,) = (one for one in OUTCOMES if one == name)
        ledger.offered(due, KEY, 0.001)
        ledger.ended(due, KEY, outcome, due + took)
    windows = list(ledger.windows())
    assert len(windows) <= most
    assert [at for at, _ in windows] == [number * ledger.width for number in range(len(windows))]
    total = ledger.totals().get(KEY)
    right = [took for _, took, name in asked if name in ("answered", "late")]
    if asked:
        assert total is not None
        assert (total.offered, total.outcomes.total(), total.lag.count) == (len(asked),) * 3
        assert (total.completed, total.latency.count) == (len(right), len(right))
    read = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
    assert read.to_json() == ledger.to_json()


def test_what_was_due_in_a_window_is_judged_there_however_late_it_is_answered() -> None:
    ledger = Ledger()
    ledger.offered(0.5, KEY, 0.0)
    ledger.ended(0.5, KEY, "answered", 3.5)
    windows = [cells.get(KEY) for _, cells in ledger.windows()]
    first, last = windows[0], windows[3]
    assert first is not None
    assert last is not None
    assert (first.offered, first.outcomes["answered"], first.completed, first.latency.largest) == (1, 1, 0, 3.0)
    assert (last.offered, last.completed, last.latency.count) == (0, 1, 0)
    ledger.coarsen(2)
    assert [at for at, _ in ledger.windows()] == [0.0, 2.0]


@given(st.floats(-10, 10), st.floats(-100, 100), st.integers(5, 500))
def test_a_line_has_its_slope(slope: float, offset: float, count: int) -> None:
    x = np.arange(count, dtype=float)
    found = theil_sen(x.tolist(), (slope * x + offset).tolist())
    assert found is not None
    assert found.slope == pytest.approx(slope, abs=1e-6)
    assert found.low - 1e-6 <= slope <= found.high + 1e-6


@given(st.integers(0, 100), st.floats(-1, 1))
def test_a_quarter_of_outliers_does_not_turn_the_line(seed: int, slope: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.arange(100, dtype=float)
    y = slope * x + rng.normal(0, 0.1, 100)
    y[rng.choice(100, 25, replace=False)] += 1e4
    found = theil_sen(x.tolist(), y.tolist())
    assert found is not None
    # What is one-sided shifts the median of slopes, but by a fraction of the noise and not of the outliers.
    assert found.slope == pytest.approx(slope, abs=0.05)


def test_the_interval_is_that_of_the_reference_implementation() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    x = np.arange(60, dtype=float)
    y = 0.3 * x + rng.normal(0, 4, 60)
    reference = stats.theilslopes(y, x)
    found = theil_sen(x.tolist(), y.tolist())
    assert found is not None
    assert found.slope == pytest.approx(reference.slope)
    assert (found.low, found.high) == pytest.approx((reference.low_slope, reference.high_slope), rel=0.02)


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [1.0, 1.0, 1.0, 2.0]])
def test_too_few_points_have_no_slope(x: list[float]) -> None:
    assert theil_sen(x, [0.0] * len(x)) is None
