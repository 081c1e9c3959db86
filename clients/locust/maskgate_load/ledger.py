"""What came of every request, in windows of time that grow when there get to be many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from maskgate_load.histogram import Histogram

Lane = Literal["emergency", "bulk"]
Outcome = Literal["answered", "late", "refused", "expired", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("answered", "late", "refused", "expired", "failed")
"""Right and in time; right, but past the deadline; 429 or 503; 504 of a request with a deadline; anything else."""

Key = tuple[str, Lane]


@dataclass
class Cell:
    """What happened to the requests of one task and lane in one window.

    Attributes:
        offered: how many were due then; what became of these is in `outcomes` and `latency`.
        outcomes: how often each came of them. Less than offered: the rest was not answered when the load ended.
        refusals: answers of 429 and 503, those among them after which a caller tried again.
        completed: right answers that came then, whenever they were due.
        latency: from when it was due to the last byte, of what was answered, late or not.
        lag: how much later than due it was sent, by no fault of the gateway.
    """

    offered: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    refusals: int = 0
    completed: int = 0
    latency: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)

    def merge(self, other: Cell) -> None:
        """Add what `other` counted."""
        self.offered += other.offered
        self.outcomes.update(other.outcomes)
        self.refusals += other.refusals
        self.completed += other.completed
        self.latency.merge(other.latency)
        self.lag.merge(other.lag)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        counts = {"offered": self.offered, "refusals": self.refusals, "completed": self.completed}
        times = {"latency": self.latency.to_json(), "lag": self.lag.to_json()}
        return {**counts, "outcomes": dict(self.outcomes), **times}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Cell:
        """Return a cell as it was written."""
        latency, lag = (Histogram.from_json(read[name]) for name in ("latency", "lag"))
        return cls(read["offered"], Counter(read["outcomes"]), read["refusals"], read["completed"], latency, lag)


class Ledger:
    """Cells by window, task and lane.

    Args:
        width: seconds of a window at first.
        most: windows at most; one more, and each two become one of twice the width.

    Attributes:
        width: seconds of a window now.
    """

    def __init__(self, width: float = 1.0, most: int = 240) -> None:
        """Begin empty."""
        self.width = width
        self._most = most
        self._windows: defaultdict[int, defaultdict[Key, Cell]] = defaultdict(lambda: defaultdict(Cell))

    def offered(self, due: float, key: Key, lag: float) -> None:
        """Count a request that was due at `due`, in seconds since the load began, and sent `lag` later."""
        cell = self._at(due)[key]
        cell.offered += 1
        cell.lag.add(lag)

    def refused(self, due: float, key: Key) -> None:
        """Count an answer of 429 or 503 to a request that was due at `due`."""
        self._at(due)[key].refusals += 1

    def ended(self, due: float, key: Key, outcome: Outcome, now: float) -> None:
        """Count what became, at `now`, of a request that was due at `due`."""
        cell = self._at(due)[key]
        cell.outcomes[outcome] += 1
        if outcome in ("answered", "late"):
            cell.latency.add(now - due)
            self._at(now)[key].completed += 1

    def windows(self) -> Iterator[tuple[float, dict[Key, Cell]]]:
        """Yield when each window begins, in seconds, and its cells; windows in which nothing happened are empty."""
        for number in range(max(self._windows, default=-1) + 1):
            yield number * self.width, dict(self._windows.get(number, {}))

    def coarsen(self, most: int) -> None:
        """Let there be `most` windows at most, of twice, four times … the width."""
        while max(self._windows, default=0) >= most:
            self._halve()

    def totals(self) -> dict[Key, Cell]:
        """Return what all windows add up to."""
        return merged(cells for _, cells in self.windows())

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        windows = {
            str(number): [[*key, cell.to_json()] for key, cell in cells.items()]
            for number, cells in self._windows.items()
        }
        return {"width": self.width, "most": self._most, "windows": windows}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Ledger:
        """Return a ledger as it was written."""
        ledger = cls(read["width"], read["most"])
        for number, cells in read["windows"].items():
            for task, lane, cell in cells:
                ledger._windows[int(number)][task, lane] = Cell.from_json(cell)
        return ledger

    def _at(self, when: float) -> defaultdict[Key, Cell]:
        while when >= self.width * self._most:
            self._halve()
        return self._windows[max(0, int(when / self.width))]

    def _halve(self) -> None:
        finer, self.width = self._windows, 2 * self.width
        self._windows = defaultdict(lambda: defaultdict(Cell))
        for number, cells in finer.items():
            for key, cell in cells.items():
                self._windows[number // 2][key].merge(cell)


def merged(windows: Iterator[Mapping[Key, Cell]]) -> dict[Key, Cell]:
    """Return what cells of one key add up to."""
    together: defaultdict[Key, Cell] = defaultdict(Cell)
    for cells in windows:
        for key, cell in cells.items():
            together[key].merge(cell)
    return dict(together)
