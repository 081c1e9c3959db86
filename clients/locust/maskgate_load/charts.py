"""Lines over time as inline SVG: no script, no font and no file of anyone else's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 560, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 26
_TICKS = (1, 2, 5)
_MOST_TICKS = 5


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: as the legend has it.
        points: (seconds, value); a value of None is a gap.
        style: a class of the page's style sheet: "c1" to "c6" for colours, "dashed", "area".
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    style: str


def chart(title: str, unit: str, lines: Sequence[Line], seconds: float, *, note: str = "") -> str:
    """Return a figure with its title, a legend and lines from 0 to `seconds`, the value axis beginning at 0."""
    return _figure(title, unit, lines, seconds, _Linear(_highest(lines)), note)


def log_chart(title: str, unit: str, lines: Sequence[Line], seconds: float, *, note: str = "") -> str:
    """Return a figure whose value axis is logarithmic, so that a tail a hundred times the median is seen beside it."""
    values = [value for line in lines for _, value in line.points if value]
    return _figure(title, unit, lines, seconds, _Logarithmic(min(values, default=1), max(values, default=10)), note)


def number(value: float) -> str:
    """Return a value with about three digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class _Linear:
    def __init__(self, highest: float) -> None:
        self._step = next(
            step
            for power in range(-6, 12)
            for step in (tick * 10.0**power for tick in _TICKS)
            if step * _MOST_TICKS >= highest
        )
        self._top = self._step * max(1, math.ceil(highest / self._step))

    def share(self, value: float) -> float:
        return min(1.0, max(0.0, value / self._top))

    def ticks(self) -> list[float]:
        return [self._step * n for n in range(round(self._top / self._step) + 1)]


class _Logarithmic:
    def __init__(self, lowest: float, highest: float) -> None:
        self._low = math.floor(math.log10(lowest))
        self._high = max(self._low + 1, math.ceil(math.log10(highest)))

    def share(self, value: float) -> float:
        if value <= 0:
            return 0.0
        return min(1.0, max(0.0, (math.log10(value) - self._low) / (self._high - self._low)))

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _figure(
    title: str, unit: str, lines: Sequence[Line], seconds: float, scale: _Linear | _Logarithmic, note: str
) -> str:
    drawn = [line for line in lines if any(value is not None for _, value in line.points)]
    legend = "".join(f'<span class="key {line.style}">{escape(line.name)}</span>' for line in drawn)
    caption = f'<figcaption><b>{escape(title)}</b><span class="unit">{escape(unit)}</span>{legend}</figcaption>'
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    if not drawn:
        return f'<figure>{caption}<p class="none">Nothing to show.</p>{said}</figure>'
    grid = "".join(_rule(scale.share(tick), number(tick)) for tick in scale.ticks())
    marks = "".join(_moment(at, seconds) for at in _Linear(max(seconds, 1e-3)).ticks() if at <= seconds)
    paths = "".join(_path(line, seconds, scale) for line in drawn)
    label = f"{title}, {unit}"
    return (
        f'<figure>{caption}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{grid}{marks}{paths}</svg>{said}</figure>"
    )


def _rule(share: float, text: str) -> str:
    y = _y(share)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y + 3.5:g}" text-anchor="end">{text}</text>'
    )


def _moment(at: float, seconds: float) -> str:
    return f'<text class="tick" x="{_x(at, seconds)}" y="{_HEIGHT - 8}" text-anchor="middle">{number(at)} s</text>'


def _path(line: Line, seconds: float, scale: _Linear | _Logarithmic) -> str:
    """Return the line, in as many pieces as gaps leave of it, and points that tell their value when pointed at."""
    pieces: list[list[tuple[float, float]]] = [[]]
    dots = []
    for at, value in line.points:
        if value is None:
            pieces.append([])
            continue
        x, y = _x(at, seconds), _y(scale.share(value))
        pieces[-1].append((x, y))
        told = f"{escape(line.name)}: {number(value)} at {number(at)} s"
        dots.append(f'<circle class="dot {line.style}" cx="{x}" cy="{y}" r="5"><title>{told}</title></circle>')
    drawn = "".join(_piece(piece, line.style) for piece in pieces if piece)
    return drawn + "".join(dots)


def _piece(piece: Sequence[tuple[float, float]], style: str) -> str:
    if len(piece) == 1:
        return f'<circle class="lone {style}" cx="{piece[0][0]}" cy="{piece[0][1]}" r="2.2"/>'
    way = " ".join(f"{x},{y}" for x, y in piece)
    line = f'<polyline class="line {style}" points="{way}"/>'
    if "area" not in style:
        return line
    floor = _y(0)
    return f'<polygon class="fill {style}" points="{piece[0][0]},{floor} {way} {piece[-1][0]},{floor}"/>{line}'


def _highest(lines: Sequence[Line]) -> float:
    return max((value for line in lines for _, value in line.points if value is not None), default=0) or 1.0


def _x(at: float, seconds: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, at / max(seconds, 1e-9))), 1)


def _y(share: float) -> float:
    return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share, 1)
