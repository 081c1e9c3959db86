"""The table that a terminal shows, and the page that tells of a load, beside locust's own report of it.

Locust's report has each request's name with its rates, percentiles and failures. This page has what locust does not
know: what was answered by its deadline, and what the gateway says of itself meanwhile. Its lines are inline SVG: no
script, no font and no file of anyone else's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from maskgate_load.options import CLOSED

LOCUST_REPORT = "locust.html"
"""Where locust writes its own, beside this page."""

_COLUMNS = ("offered", "answered", "late", "refused", "expired", "failed", "unfinished", "p50", "p95", "p99", "max")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 560, 200, 52, 24
_COLOURS = ("#2f6db5", "#2a8f6d", "#d08a1d", "#c2403a", "#7d55b0")

Points = Sequence[tuple[float, float | None]]
"""(seconds, value); a value of None is a gap."""


def page(told: Mapping[str, Any]) -> str:
    """Return a page of HTML that needs nothing else, for what `figures.figures` returned and a `machine` besides."""
    when = datetime.fromtimestamp(told["began"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    setting = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _setting(told))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Maskgate under load</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; padding: 2rem; max-width: 1360px; font: 15px/1.45 system-ui, sans-serif; }}
pre {{ overflow-x: auto; font-size: 13px; }}
.charts {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 36rem), 1fr)); gap: 1rem; }}
figure {{ margin: 0; }} figcaption span {{ margin-left: 1em; }} svg {{ width: 100%; }}
line {{ stroke: #8884; }} text {{ fill: currentColor; font-size: 11px; }}
polyline {{ fill: none; stroke: currentColor; stroke-width: 1.8; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; }} dd {{ margin: 0; }}
</style>
<h1>Maskgate under load</h1>
<p>{when} · <a href="{LOCUST_REPORT}">locust's report: latency and failures by name, over time</a></p>
<pre>{escape(table(told))}</pre>
<div class="charts">{"".join(_charts(told))}</div>
<h2>Setting</h2>
<dl>{setting}</dl>
</html>
"""


def table(told: Mapping[str, Any]) -> str:
    """Return a table of text, a line per task and lane; times in milliseconds from when a request was due."""
    lines = [f"\n{_heading(told)}; times in ms from when a request was due"]
    lines.append(f"{'task':<16}{'lane':<10}" + "".join(f"{column:>11}" for column in _COLUMNS))
    for row in [*told["tasks"], told["total"]]:
        cells = "".join(f"{_cell(row[column]):>11}" for column in _COLUMNS)
        lines.append(f"{row['task']:<16}{row['lane']:<10}{cells}")
    lines += [f"{name}: {value}" for name, value in _summary(told)]
    lines += [f"failed {count}×: {task}: {reason}" for task, reason, count in told["failures"][:10]]
    return "\n".join([*lines, *(f"! {warning}" for warning in _warnings(told))])


def chart(title: str, unit: str, lines: Mapping[str, Points], seconds: float, *, logarithmic: bool = False) -> str:
    """Return a figure of lines from 0 to `seconds`.

    The value axis begins at 0, or is logarithmic so that a tail a hundred times the median is seen beside it.
    """
    values = [value for points in lines.values() for _, value in points if value is not None]
    if not values:
        return f"<figure><figcaption><b>{escape(title)}</b> {escape(unit)}</figcaption><p>Nothing to show.</p></figure>"
    most = max(values) or 1.0
    if logarithmic:
        low = math.floor(math.log10(min((value for value in values if value > 0), default=1)))
        high = max(low + 1, math.ceil(math.log10(most)))
        ticks = [10.0**power for power in range(low, high + 1)]
    else:
        step = 10.0 ** math.floor(math.log10(most))
        step = next(one for one in (step / 2, step, 2 * step) if 5 * one >= most)
        ticks = [step * number for number in range(math.ceil(most / step) + 1)]

    def x(at: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - 8) * min(1.0, max(0.0, at / max(seconds, 1e-9))), 1)

    def y(value: float) -> float:
        share = value / ticks[-1]
        if logarithmic:
            share = math.log(max(value, ticks[0]) / ticks[0]) / math.log(ticks[-1] / ticks[0])
        return round((_HEIGHT - _BOTTOM) * (1 - share), 1)

    drawn = [f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y(tick)}" y2="{y(tick)}"/>' for tick in ticks]
    drawn += [f'<text x="{_LEFT - 6}" y="{y(tick) + 4:g}" text-anchor="end">{_number(tick)}</text>' for tick in ticks]
    drawn += [
        f'<text x="{x(at)}" y="{_HEIGHT - 6}" text-anchor="middle">{_number(at)} s</text>'
        for at in (seconds * quarter / 4 for quarter in range(4))
    ]
    legend = ""
    for (name, points), colour in zip(lines.items(), _COLOURS, strict=False):
        legend += f'<span style="color: {colour}">{escape(name)}</span>'
        pieces: list[list[str]] = [[]]
        for at, value in points:
            if value is None:
                pieces.append([])
            else:
                pieces[-1].append(f"{x(at)},{y(value)}")
        drawn += [f'<polyline style="color: {colour}" points="{" ".join(piece)}"/>' for piece in pieces if piece]
    return (
        f"<figure><figcaption><b>{escape(title)}</b> {escape(unit)}{legend}</figcaption>"
        f'<svg viewBox="0 -8 {_WIDTH} {_HEIGHT + 8}" role="img" aria-label="{escape(f"{title}, {unit}")}">'
        f"{''.join(drawn)}</svg></figure>"
    )


def _charts(told: Mapping[str, Any]) -> list[str]:
    seconds = told["seconds"]

    def windows(key: str, *, rate: bool = True) -> Points:
        scale = told["width"] if rate else 1
        return [(w["at"] + w["width"] / 2, None if w[key] is None else w[key] / scale) for w in told["windows"]]

    looks = [look for look in told["gateway"] if 0 <= look["at"] <= seconds]

    def seen(key: str) -> Points:
        return [(look["at"], look[key]) for look in looks]

    lanes = sorted({lane for look in looks for lane in look["queue"]})
    waits: dict[str, Points] = {
        f"{lane} {name}": [(look["at"], look["queue"].get(lane, {}).get(name)) for look in looks]
        for lane in lanes
        for name in ("p50", "p99")
    }
    rates = {
        "planned arrivals": windows("planned", rate=False),
        "offered, clicks of sessions counted": windows("offered"),
        "answered": windows("completed"),
        "in time, of those due then": windows("answered"),
    }
    wrong = {"refused": "refusals", "past its deadline (504)": "expired", "late": "late", "failed": "failed"}
    lags = {"the gateway's event loop": seen("lag_p99"), "the sender's own": windows("lag_p99", rate=False)}
    latency = {name: windows(name, rate=False) for name in ("p50", "p95", "p99", "max")}
    return [
        chart("Rate", "requests per second", rates, seconds),
        chart("Latency", "ms, from when a request was due", latency, seconds, logarithmic=True),
        chart("Not answered in time", "per second", {name: windows(key) for name, key in wrong.items()}, seconds),
        chart("Queue wait", "ms, by the gateway's metrics", waits, seconds, logarithmic=True),
        chart("Lateness", "ms, p99", lags, seconds, logarithmic=True),
        chart("Memory", "MiB", {"resident": seen("rss_mib"), "without files": seen("anonymous_mib")}, seconds),
        chart("Requests held", "at once", {"in flight": seen("held")}, seconds),
        chart("Processor", "cores busy", {"the gateway": seen("cpu_share")}, seconds),
    ]


def _heading(told: Mapping[str, Any]) -> str:
    options = told["options"]
    if options["arrivals"] == CLOSED:
        return f"Closed loop, {told['seconds']:.0f} s"
    return f"{options['arrivals'].capitalize()} arrivals about {_number(options['rate'])}/s, {told['seconds']:.0f} s"


def _summary(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    total, seconds = told["total"], told["seconds"]
    found = [
        ("offered per second", _number(total["offered"] / seconds)),
        ("answered in time per second", _number(total["answered"] / seconds)),
        ("refused of offered", f"{total['refused'] / max(1, total['offered']):.1%}"),
    ]
    for name, key in (
        ("event loop late, p99 of the worst window, ms", "lag_p99"),
        ("resident at most, MiB", "rss_mib"),
    ):
        values = [look[key] for look in told["gateway"] if look[key] is not None]
        found += [(name, _number(max(values)))] if values else []
    if told["options"]["arrivals"] == "ramp":
        knee = told["knee"]
        found.append(("kept up to, per second", "all of it" if knee is None else _number(knee)))
    return found


def _warnings(told: Mapping[str, Any]) -> list[str]:
    late = max((window["lag_p99"] for window in told["windows"] if window["lag_p99"] is not None), default=0)
    return [
        warning
        for holds, warning in (
            (
                told["options"]["arrivals"] != CLOSED and late > 100,
                f"Requests were sent up to {late:,.0f} ms (p99) after they were due: their sender was too busy.",
            ),
            (told["turned_away"], f"{told['turned_away']} arrivals were never sent: too many were waiting."),
            (told["dropped"], f"{told['dropped']} later requests are in none of these figures."),
            (told["interrupted"], "Interrupted before its end."),
        )
        if holds
    ]


def _setting(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine = told["machine"]
    return [
        ("load", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told["options"].items())),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("busy with", f"{told['load_1min']} processes in the last minute, all that runs here counted"),
        ("versions", ", ".join(f"{name} {version}" for name, version in told["versions"].items())),
        ("models", ", ".join(told["models"])),
        ("what sent the requests", f"used {told['generator_cpu_share']:.0%} of a core on this machine"),
    ]


def _number(value: float) -> str:
    """Return a value with about three digits."""
    return f"{value:,.0f}" if value == 0 or abs(value) >= 100 else f"{value:.3g}"


def _cell(value: float | None) -> str:
    return "–" if value is None else _number(value)
