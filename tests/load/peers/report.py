"""From windows to figures, and figures as a table and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.load.peers.sender import CONCURRENCY, Window

BARE, GATEWAY = "bare loop", "Maskgate"
PROCESSES = "Maskgate ×2"
"""The gateway in two processes, as many as each peer has."""
OURS = (GATEWAY, PROCESSES)
FORMER = {name: f"{name} before" for name in OURS}
"""Those of another commit by these."""

Windows = Mapping[str, Mapping[int, Sequence[Window]]]
"""By contestant and by side, one window per round."""


@dataclass(frozen=True)
class Reading:
    """Figures of one contestant at one size.

    Attributes:
        per_second: pairs per second, the median of the rounds.
        share: of the bare loop's in the same round, the median of the rounds.
        p50_ms: half of all requests took no longer; of all rounds together, None of the bare loop.
        p99_ms: the same of 99 in 100.
    """

    per_second: float
    share: float
    p50_ms: float | None
    p99_ms: float | None


Readings = Mapping[str, Mapping[int, Reading]]


def readings(windows: Windows) -> dict[str, dict[int, Reading]]:
    """Return the figures of every contestant, the bare loop among them."""
    return {
        name: {side: _reading(seen, windows[BARE][side]) for side, seen in by_side.items()}
        for name, by_side in windows.items()
    }


def _reading(seen: Sequence[Window], bare: Sequence[Window]) -> Reading:
    latencies = [1000 * latency for window in seen for latency in window.latencies]
    p50, p99 = np.percentile(latencies, (50, 99)).tolist() if latencies else (None, None)
    return Reading(
        median(window.per_second for window in seen),
        median(window.per_second / limit.per_second for window, limit in zip(seen, bare, strict=True)),
        p50,
        p99,
    )


def figures(read: Readings) -> dict[str, Any]:
    """Return the figures as they are kept; sides are strings there, and the bare loop has neither share nor latency."""
    servers = {name: sides for name, sides in read.items() if name != BARE}

    def of(contestants: Readings, field: str, digits: int) -> dict[str, dict[str, float]]:
        return {
            name: {str(side): round(getattr(reading, field), digits) for side, reading in sides.items()}
            for name, sides in contestants.items()
        }

    return {
        "concurrency": CONCURRENCY,
        "shares": of(servers, "share", 3),
        "pairs_per_second": of(read, "per_second", 2),
        "p50_ms": of(servers, "p50_ms", 1),
        "p99_ms": of(servers, "p99_ms", 1),
    }


def shortfalls(read: Readings, aims: Mapping[int, float]) -> list[str]:
    """Return a sentence for each aim that the gateway falls short of: a share, or a peer's 99th percentile."""
    return [
        said if ours == GATEWAY else f"In two processes, {said}"
        for ours in OURS
        if ours in read
        for said in _shortfalls(read, ours, aims)
    ]


def _shortfalls(read: Readings, ours: str, aims: Mapping[int, float]) -> list[str]:
    own = read[ours]
    peers = {name: sides for name, sides in read.items() if name not in (BARE, *OURS, *FORMER.values())}
    return [
        f"{side}²: {own[side].share:.2f} of the bare loop, {aim:.2f} was aimed at."
        for side, aim in aims.items()
        if side in own and own[side].share < aim
    ] + [
        f"{side}²: {name} has the better {what}, {theirs:.{digits}f} against {reached:.{digits}f}."
        for name, sides in peers.items()
        for side, reading in sides.items()
        for what, theirs, reached, digits, better in (
            ("share", reading.share, own[side].share, 2, reading.share > own[side].share),
            (
                "p99 in ms",
                reading.p99_ms or 0,
                own[side].p99_ms or 0,
                0,
                (reading.p99_ms or 0) < (own[side].p99_ms or 0),
            ),
        )
        if better
    ]


def table(read: Readings, versions: Mapping[str, str], missing: Mapping[str, str], notes: Iterable[str]) -> str:
    """Return the figures as a Markdown document.

    Args:
        read: what was measured.
        versions: of each contestant.
        missing: why a peer was not measured.
        notes: sentences below the table.
    """
    sides = sorted(next(iter(read.values())))
    heads = [f"{what} {side}²" for what in ("pairs/s", "share", "p50", "p99") for side in sides]
    lines = ["| | version | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for name, measured in read.items():
        seen = [measured[side] for side in sides]
        cells = [f"{reading.per_second:.1f}" for reading in seen] + [f"{reading.share:.2f}" for reading in seen]
        cells += [_milliseconds(reading.p50_ms) for reading in seen] + [
            _milliseconds(reading.p99_ms) for reading in seen
        ]
        lines.append(f"| {name} | {versions.get(name, '')} | " + " | ".join(cells) + " |")
    lines += [f"| {name} | not measured: {reason} |" + " |" * len(heads) for name, reason in missing.items()]
    said = "".join(f"\n- {note}" for note in notes)
    return "\n".join(lines) + f"\n\nLatencies in milliseconds at {CONCURRENCY} concurrent requests.\n{said}\n"


def _milliseconds(latency: float | None) -> str:
    return "–" if latency is None else f"{latency:.0f}"


def plot(read: Readings, aims: Mapping[int, float], path: Path) -> None:
    """Draw shares and 99th percentiles of the servers, a bar per size."""
    from matplotlib.figure import Figure

    names = [name for name in read if name != BARE]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    shares, slowest = figure.subplots(1, 2)
    for at, (side, colour) in enumerate(zip(sorted(read[BARE]), ("#9ecae1", "#2171b5"), strict=False)):
        places = [place + 0.4 * at - 0.2 for place in range(len(names))]
        for axes, values, form in (
            (shares, [read[name][side].share for name in names], "%.2f"),
            (slowest, [read[name][side].p99_ms for name in names], "%.0f"),
        ):
            bars = axes.bar(places, values, 0.38, color=colour, label=f"pairs of {side}²")
            axes.bar_label(bars, fmt=form, fontsize=8)
        shares.hlines(aims[side], places[0] - 0.2, places[0] + 0.2, colors="#d62728", linewidth=1.5)
    shares.axhline(1, color="0.4", linewidth=0.8, linestyle="--")
    shares.set_title("Throughput as a share of the bare loop (dashed); aims in red", fontsize=10)
    slowest.set_title(f"99th percentile at {CONCURRENCY} concurrent requests, ms", fontsize=10)
    for axes in (shares, slowest):
        axes.set_xticks(range(len(names)), names)
        axes.spines[["top", "right"]].set_visible(False)
    shares.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
