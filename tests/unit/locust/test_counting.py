"""Windows, percentiles and slopes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskgate_load import records
from maskgate_load.figures import figures
from maskgate_load.load import Load
from maskgate_load.options import Options
from maskgate_load.records import OUTCOMES, Outcome, Record
from maskgate_load.soak import theil_sen


def row(due: float, outcome: Outcome | None, seconds: float = 0.1, task: str = "pairs") -> Record:
    return Record(task, "bulk", due, 0.001, outcome=outcome, seconds=seconds)


def told(rows: list[Record], seconds: float) -> dict[str, Any]:
    load = Load(Options(arrivals="closed"), [])
    for each in rows:
        load.records.add(each)
    run = {**json.loads(json.dumps(load.to_json())), "seconds": seconds, "interrupted": False}
    return figures(run, [], "1", [])


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 60), st.sampled_from((*OUTCOMES, None))), max_size=60),
    st.floats(1, 6000),
)
def test_windows_are_few_and_lose_nothing_that_was_due(
    asked: list[tuple[float, float, Outcome | None]], seconds: float
) -> None:
    found = told([row(due, outcome, took) for due, took, outcome in asked], seconds)
    windows = found["windows"]
    assert len(windows) <= 40
    assert [window["at"] for window in windows] == [number * found["width"] for number in range(len(windows))]
    assert sum(window["offered"] for window in windows) == sum(
        due < len(windows) * found["width"] for due, _, _ in asked
    )
    total = found["total"]
    assert total["offered"] == len(asked)
    assert total["unfinished"] == sum(outcome is None for _, _, outcome in asked)
    assert {name: total[name] for name in OUTCOMES} == {
        name: sum(outcome == name for _, _, outcome in asked) for name in OUTCOMES
    }


@given(st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=100))
def test_percentiles_are_of_times_that_were(times: list[float]) -> None:
    total = told([row(1.0, "answered", time) for time in times], 60)["total"]
    exact = sorted(times)
    assert total["max"] == pytest.approx(exact[-1] * 1000, abs=0.01)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert total[name] == pytest.approx(exact[math.ceil(share * len(exact)) - 1] * 1000, abs=0.01)


def test_what_was_due_in_a_window_is_judged_there_however_late_it_is_answered() -> None:
    windows = told([row(0.5, "answered", 3.0)], 40.0)["windows"]
    assert [windows[0][name] for name in ("offered", "answered", "completed", "max")] == [1, 1, 0, 3000.0]
    assert [windows[3][name] for name in ("offered", "answered", "completed", "max")] == [0, 0, 1, None]


def test_a_load_of_days_keeps_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST", 3)
    found = told([row(number, "answered") for number in range(5)], 10)
    assert (found["total"]["offered"], found["dropped"]) == (3, 2)


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


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [1.0, 1.0, 1.0, 2.0]])
def test_too_few_points_have_no_slope(x: list[float]) -> None:
    assert theil_sen(x, [0.0] * len(x)) is None
