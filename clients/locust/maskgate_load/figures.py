"""What a load came to, in numbers: one JSON object, which the report and whoever compares two of them read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from maskgate_load.arrivals import PATTERNS, rate_at, schedule
from maskgate_load.ledger import OUTCOMES, Cell, Key, Ledger, merged
from maskgate_load.watch import Sample, quantile

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_PACKAGES = ("locust", "gevent", "geventhttpclient")
_WINDOWS = 40
"""At most: fewer requests each, and their percentiles would be noise."""
_KEPT_UP = 0.95
_PROMISE = 5
"""Times the median of the first windows: an answer that took longer did not keep up, where there is no deadline."""


def figures(run: Mapping[str, Any], samples: Sequence[Sample], gateway: str, models: Sequence[str]) -> dict[str, Any]:
    """Return everything there is to tell, but of the machine.

    Args:
        run: what `process.run` returned.
        samples: what was seen of the gateway meanwhile.
        gateway: its version.
        models: those it serves.
    """
    ledger, options = Ledger.from_json(run["ledger"]), run["options"]
    ledger.coarsen(_WINDOWS)
    plan = _plan(options)
    windows = [
        {"at": at, "planned": _planned(plan, at, ledger.width), **_window(cells, ledger.width)}
        for at, cells in ledger.windows()
        if at < run["seconds"]
    ]
    names = ("began", "seconds", "options", "visits", "turned_away", "failures", "interrupted")
    return {
        **{name: run[name] for name in names},
        "load_1min": round(os.getloadavg()[0], 1),
        "versions": {"gateway": gateway} | {name: version(name) for name in _PACKAGES},
        "models": list(models),
        "generator_cpu_share": round(run["generator_cpu_seconds"] / max(run["seconds"], 1e-9), 3),
        "width": ledger.width,
        "windows": windows,
        "tasks": [row(task, lane, cell) for (task, lane), cell in sorted(ledger.totals().items())],
        "total": row("all", "", _sum(ledger.totals().values())),
        "knee": knee(windows, options["deadline"]) if options["arrivals"] == "ramp" else None,
        "gateway": _seen(samples, run["began"]),
    }


def row(task: str, lane: str, cell: Cell) -> dict[str, Any]:
    """Return a line of the table; times in milliseconds, None where nothing was answered."""
    outcomes: dict[str, Any] = {outcome: cell.outcomes[outcome] for outcome in OUTCOMES}
    unfinished = cell.offered - cell.outcomes.total()
    return {
        "task": task,
        "lane": lane,
        "offered": cell.offered,
        **outcomes,
        "unfinished": unfinished,
        "refusals": cell.refusals,
        **_times(cell),
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


def _window(cells: Mapping[Key, Cell], width: float) -> dict[str, Any]:
    total = _sum(cells.values())
    return {
        "offered": total.offered,
        "completed": total.completed,
        "refusals": total.refusals,
        **{outcome: total.outcomes[outcome] for outcome in OUTCOMES},
        **_times(total),
        "lag_p99": _milliseconds(total.lag.quantile(0.99)),
        "width": width,
        "tasks": {f"{task}|{lane}": _times(cell) for (task, lane), cell in sorted(cells.items())},
    }


def _times(cell: Cell) -> dict[str, float | None]:
    times = {name: _milliseconds(cell.latency.quantile(share)) for name, share in _QUANTILES.items()}
    return {**times, "max": _milliseconds(cell.latency.largest) if cell.latency.count else None}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _sum(cells: Iterable[Cell]) -> Cell:
    return merged({("all", "bulk"): cell} for cell in cells).get(("all", "bulk"), Cell())


def _plan(options: Mapping[str, Any]) -> Any:
    patterns = [pattern for pattern in PATTERNS if pattern == options["arrivals"]]
    return schedule(patterns[0], options["rate"], options["seconds"]) if patterns else None


def _planned(plan: Any, at: float, width: float) -> float | None:
    return None if plan is None else round(rate_at(plan, at + width / 2), 3)


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
