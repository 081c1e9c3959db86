"""What a load came to, in numbers: one JSON object, which the report and whoever compares two of them read.

Why our own, beside locust's statistics: locust adds up a name's requests over the whole load, and draws rates and two
percentiles of all requests over time. It cannot tell what was answered by its deadline of what was *due* in a window,
nor where a rising load is no longer kept up with.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate_load.arrivals import PATTERNS, rate_at, schedule
from maskgate_load.records import OUTCOMES
from maskgate_load.watch import Sample, quantile

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_PACKAGES = ("locust", "gevent", "geventhttpclient")
_WINDOWS = 40
"""At most: fewer requests each, and their percentiles would be noise."""
_KEPT_UP = 0.95
_PROMISE = 5
"""Times the median of the first windows: an answer that took longer did not keep up, where there is no deadline."""

Columns = Mapping[str, NDArray[Any]]


def figures(run: Mapping[str, Any], samples: Sequence[Sample], gateway: str, models: Sequence[str]) -> dict[str, Any]:
    """Return everything there is to tell, but of the machine.

    Args:
        run: what `process.run` returned.
        samples: what was seen of the gateway meanwhile.
        gateway: its version.
        models: those it serves.
    """
    columns = {name: np.asarray(column) for name, column in run["records"].items()}
    options, seconds = run["options"], run["seconds"]
    width = float(max(1, math.ceil(seconds / _WINDOWS)))
    starts = np.arange(0.0, seconds, width)
    planned = [pattern for pattern in PATTERNS if pattern == options["arrivals"]]
    plan = schedule(planned[0], options["rate"], options["seconds"]) if planned else None
    windows = [
        {
            "at": at,
            "width": width,
            "planned": None if plan is None else round(rate_at(plan, at + width / 2), 3),
            **_window(columns, at, width),
        }
        for at in starts.tolist()
    ]
    keys = sorted(set(zip(run["records"]["task"], run["records"]["lane"], strict=True)))
    names = ("began", "seconds", "options", "visits", "turned_away", "failures", "interrupted", "dropped")
    return {
        **{name: run[name] for name in names},
        "load_1min": round(os.getloadavg()[0], 1),
        "versions": {"gateway": gateway} | {name: version(name) for name in _PACKAGES},
        "models": list(models),
        "generator_cpu_share": round(run["generator_cpu_seconds"] / max(seconds, 1e-9), 3),
        "width": width,
        "windows": windows,
        "tasks": [
            {"task": task, "lane": lane, **_row(columns, (columns["task"] == task) & (columns["lane"] == lane))}
            for task, lane in keys
        ],
        "total": {"task": "all", "lane": "", **_row(columns, np.ones(len(columns["due"]), bool))},
        "knee": knee(windows, options["deadline"]) if options["arrivals"] == "ramp" else None,
        "gateway": _seen(samples, run["began"]),
    }


def knee(windows: Sequence[Mapping[str, Any]], deadline: float | None) -> float | None:
    """Return the arrivals per second up to which a rising load was answered in time, None where it never fell behind.

    A window keeps up where 95 % of what was due in it was answered within the deadline, or, where there is none, within
    five times the median of the first tenth of the load. The knee is before the first two in a row that do not.
    """
    some = [window for window in windows if window["offered"] and window["p50"] is not None]
    early = [window["p50"] for window in some[: max(1, len(some) // 10)]]
    if not early:
        return None
    promise = deadline * 1000 if deadline else _PROMISE * sorted(early)[len(early) // 2]
    kept, behind = 0.0, 0
    for window in filter(lambda window: window["offered"], windows):
        answered = window["answered"] >= _KEPT_UP * window["offered"]
        behind = 0 if answered and window["p95"] <= promise else behind + 1
        if behind == 2:
            return kept
        if not behind:
            kept = float(window["planned"])
    return None


def _window(columns: Columns, at: float, width: float) -> dict[str, Any]:
    """Return what became of the requests due in a window, and how many right answers came in it, whenever due."""
    due = (columns["due"] >= at) & (columns["due"] < at + width)
    came = columns["due"] + columns["seconds"]
    completed = _right(columns) & (came >= at) & (came < at + width)
    lag = _milliseconds(_quantile(columns["lag"][due], 0.99))
    return {**_row(columns, due), "completed": int(completed.sum()), "lag_p99": lag}


def _row(columns: Columns, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Return counts of some requests, and percentiles of their right answers in milliseconds, None without any."""
    outcomes: dict[str, int] = {outcome: int((columns["outcome"][chosen] == outcome).sum()) for outcome in OUTCOMES}
    offered, times = int(chosen.sum()), columns["seconds"][chosen & _right(columns)]
    return {
        "offered": offered,
        **outcomes,
        "unfinished": offered - sum(outcomes.values()),
        "refusals": int(columns["refusals"][chosen].sum()),
        **{name: _milliseconds(_quantile(times, share)) for name, share in _QUANTILES.items()},
        "max": _milliseconds(_quantile(times, 1.0)),
    }


def _right(columns: Columns) -> NDArray[np.bool_]:
    return np.isin(columns["outcome"].astype(str), ("answered", "late"))


def _quantile(times: NDArray[Any], share: float) -> float | None:
    return float(np.quantile(times, share, method="inverted_cdf")) if len(times) else None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _seen(samples: Sequence[Sample], began: float) -> list[dict[str, Any]]:
    """Return what the gateway was like between each two looks."""
    seen = []
    for before, after in pairwise(samples):
        waits = {
            lane: {
                name: _milliseconds(quantile(before.queue.get(lane, {}), buckets, share))
                for name, share in _QUANTILES.items()
            }
            for lane, buckets in after.queue.items()
        }
        busy = None
        if before.cpu_seconds is not None and after.cpu_seconds is not None:
            busy = round((after.cpu_seconds - before.cpu_seconds) / max(after.at - before.at, 1e-9), 3)
        told = after.to_json() | {"at": round(after.at - began, 3), "cpu_share": busy, "queue": waits}
        seen.append(told | {"lag_p99": _milliseconds(quantile(before.lag, after.lag, 0.99))})
    return seen
