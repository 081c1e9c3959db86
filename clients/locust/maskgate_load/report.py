"""The page that tells of a load, and the table that a terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from maskgate_load.charts import Line, chart, log_chart, number
from maskgate_load.options import CLOSED

_COLUMNS = ("offered", "answered", "late", "refused", "expired", "failed", "unfinished", "p50", "p95", "p99", "max")
_PAGE = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
_TIMES = (("max", "c4"), ("p99", "c3"), ("p95", "c2"), ("p50", "c1"))


def page(told: Mapping[str, Any]) -> str:
    """Return a page of HTML that needs nothing else, for what `figures.figures` returned and a `machine` besides."""
    return _PAGE.substitute(
        heading=escape(_heading(told)),
        when=datetime.fromtimestamp(told["began"], UTC).strftime("%Y-%m-%d %H:%M UTC"),
        tiles="".join(_tile(name, value) for name, value in _tiles(told)),
        warnings="".join(f'<p class="warning">{escape(warning)}</p>' for warning in _warnings(told)),
        charts="".join(_charts(told)),
        tasks="".join(_task_charts(told)),
        head="".join(f"<th>{column}</th>" for column in ("task", "lane", *_COLUMNS)),
        rows="".join(_table_row(row) for row in [*told["tasks"], told["total"]]),
        failures=_failures(told["failures"]),
        setting="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _setting(told)),
    )


def table(told: Mapping[str, Any]) -> str:
    """Return a table for a terminal, a line per task and lane; times in milliseconds from when a request was due."""
    lines = [f"\n{_heading(told)}; times in ms from when a request was due"]
    lines.append(f"{'task':<16}{'lane':<10}" + "".join(f"{column:>11}" for column in _COLUMNS))
    for row in [*told["tasks"], told["total"]]:
        cells = "".join(f"{_cell(row[column]):>11}" for column in _COLUMNS)
        lines.append(f"{row['task']:<16}{row['lane']:<10}{cells}")
    lines += [f"{name}: {value}" for name, value in _tiles(told)]
    lines += [f"failed {count}×: {task}: {reason}" for task, reason, count in told["failures"][:10]]
    return "\n".join([*lines, *(f"! {warning}" for warning in _warnings(told))])


def _heading(told: Mapping[str, Any]) -> str:
    options = told["options"]
    if options["arrivals"] == CLOSED:
        return f"Closed loop, {told['seconds']:.0f} s"
    return f"{options['arrivals'].capitalize()} arrivals about {number(options['rate'])}/s, {told['seconds']:.0f} s"


def _tiles(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    total, seconds = told["total"], told["seconds"]
    found = [
        ("offered per second", number(total["offered"] / seconds)),
        ("answered in time per second", number(total["answered"] / seconds)),
        ("p50 / p95 / p99 ms", " / ".join(_cell(total[name]) for name in ("p50", "p95", "p99"))),
        ("refused of offered", f"{total['refused'] / max(1, total['offered']):.1%}"),
        ("failed", number(total["failed"])),
    ]
    lags = [window["lag_p99"] for window in told["gateway"] if window["lag_p99"] is not None]
    if lags:
        found.append(("event loop late, p99 of the worst window, ms", number(max(lags))))
    memory = [window["rss_mib"] for window in told["gateway"] if window["rss_mib"] is not None]
    if memory:
        found.append(("resident at most, MiB", number(max(memory))))
    if told["options"]["arrivals"] == "ramp":
        knee = told["knee"]
        found.append(("kept up to, per second", "all of it" if knee is None else number(knee)))
    return found


def _tile(name: str, value: str) -> str:
    size = ' class="long"' if len(value) > 12 else ""
    return f'<div class="tile"><b{size}>{escape(value)}</b>{escape(name)}</div>'


def _warnings(told: Mapping[str, Any]) -> list[str]:
    lags = [window["lag_p99"] for window in told["windows"] if window["lag_p99"] is not None]
    late = max(lags, default=0)
    warnings = []
    if told["options"]["arrivals"] != CLOSED and late > 100:
        warnings.append(
            f"Requests were sent up to {late:,.0f} ms (p99) after they were due: their sender was too busy."
        )
    if told["turned_away"]:
        warnings.append(f"{told['turned_away']} arrivals were never sent: too many were waiting.")
    if told["interrupted"]:
        warnings.append("Interrupted before its end.")
    return warnings


def _charts(told: Mapping[str, Any]) -> list[str]:
    seconds, seen = told["seconds"], told["gateway"]
    rates = [
        Line("planned arrivals", _windows(told, "planned", scaled=False), "c6 dashed"),
        Line("offered", _windows(told, "offered"), "c1"),
        Line("answered", _windows(told, "completed"), "c2 area"),
        Line("in time, of those due then", _windows(told, "answered"), "c3"),
    ]
    wrong = [
        Line(name, _windows(told, key), colour)
        for name, key, colour in (
            ("refused (429, 503)", "refusals", "c3"),
            ("past its deadline (504)", "expired", "c5"),
            ("late", "late", "c1"),
            ("failed", "failed", "c4"),
        )
    ]
    times = [Line(name, _windows(told, name, scaled=False), colour) for name, colour in _TIMES]
    planned = told["options"]["arrivals"] != CLOSED and "clicks" in told["options"]["tasks"]
    sittings = "A click session is one planned arrival and several offered requests." if planned else ""
    return [
        chart("Rate", "requests per second", rates, seconds, note=sittings),
        log_chart("Latency", "ms, from when a request was due", times, seconds),
        chart("Refused, late and failed", "requests per second", wrong, seconds),
        log_chart("Queue wait", "ms, by the gateway's metrics", _waits(seen, seconds), seconds),
        log_chart(
            "Lateness",
            "ms, p99",
            [
                Line("the gateway's event loop", _seen(seen, "lag_p99", seconds), "c2"),
                Line("the sender's own", _windows(told, "lag_p99", scaled=False), "c6 dashed"),
            ],
            seconds,
        ),
        chart(
            "Memory",
            "MiB resident",
            [
                Line("all", _seen(seen, "rss_mib", seconds), "c1"),
                Line("without files", _seen(seen, "anonymous_mib", seconds), "c2 area"),
            ],
            seconds,
        ),
        chart("Requests held", "at once", [Line("in flight", _seen(seen, "held", seconds), "c1 area")], seconds),
        chart("Processor", "cores busy", [Line("the gateway", _seen(seen, "cpu_share", seconds), "c2 area")], seconds),
    ]


def _task_charts(told: Mapping[str, Any]) -> list[str]:
    keys = sorted({key for window in told["windows"] for key in window["tasks"]})
    return [
        log_chart(
            key.replace("|", ", "),
            "ms",
            [
                Line(name, [(_middle(w), w["tasks"].get(key, {}).get(name)) for w in told["windows"]], colour)
                for name, colour in _TIMES
            ],
            told["seconds"],
        )
        for key in keys
    ]


def _windows(told: Mapping[str, Any], key: str, *, scaled: bool = True) -> list[tuple[float, float | None]]:
    """Return a value per window, counts as rates."""
    width = told["width"]
    return [
        (_middle(window), window[key] / width if scaled and window[key] is not None else window[key])
        for window in told["windows"]
    ]


def _middle(window: Mapping[str, Any]) -> float:
    return float(window["at"] + window["width"] / 2)


def _seen(seen: Sequence[Mapping[str, Any]], key: str, seconds: float) -> list[tuple[float, float | None]]:
    return [(look["at"], look[key]) for look in seen if 0 <= look["at"] <= seconds]


def _waits(seen: Sequence[Mapping[str, Any]], seconds: float) -> list[Line]:
    """Return the median and the tail of each lane's waits for a turn."""
    lanes = sorted({lane for look in seen for lane in look["queue"]})
    return [
        Line(
            f"{lane} {name}",
            [(look["at"], look["queue"].get(lane, {}).get(name)) for look in seen if 0 <= look["at"] <= seconds],
            colour,
        )
        for lane, colours in zip(lanes, (("c1", "c2"), ("c3", "c4")), strict=False)
        for name, colour in zip(("p50", "p99"), colours, strict=True)
    ]


def _table_row(row: Mapping[str, Any]) -> str:
    marks = {"failed": "bad", "unfinished": "bad", "refused": "warn", "late": "warn", "expired": "warn"}
    cells = "".join(
        f'<td class="{marks.get(column, "") if row[column] else ""}">{_cell(row[column])}</td>' for column in _COLUMNS
    )
    return f"<tr><th>{escape(row['task'])}</th><td>{escape(row['lane'])}</td>{cells}</tr>"


def _failures(failures: Sequence[Sequence[Any]]) -> str:
    if not failures:
        return "<p>Nothing failed.</p>"
    return "<ul>" + "".join(f"<li>{n} × {escape(task)}: {escape(why)}</li>" for task, why, n in failures) + "</ul>"


def _setting(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    machine = told["machine"]
    return [
        ("load", ", ".join(f"{name.replace('_', ' ')} {_worded(value)}" for name, value in told["options"].items())),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("busy with", f"{told['load_1min']} processes in the last minute, all that runs here counted"),
        ("versions", versions),
        ("models", ", ".join(told["models"])),
        ("what sent the requests", f"used {told['generator_cpu_share']:.0%} of a core on this machine"),
    ]


def _worded(value: Any) -> str:
    if isinstance(value, Mapping):
        return " + ".join(f"{weight} {task}" for task, weight in value.items())
    return "none" if value is None else number(value) if isinstance(value, float) else str(value)


def _cell(value: float | str | None) -> str:
    return "–" if value is None else number(value) if isinstance(value, int | float) else value
