"""One gateway in several processes: which of them this is, and what they count together.

A supervisor makes the folder before the first process begins, and removes it after the last has ended.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

_TALLIES = ("requests", "bytes", "refreshes")
_CELL = 8


@dataclass(frozen=True)
class Place:
    """Where one process stands among those of its gateway.

    Attributes:
        number: 0, 1, …; whoever replaces a dead process takes its number.
        count: how many processes there are.
        folder: private to the gateway, the same for all of them: metrics and tallies.
    """

    number: int
    count: int
    folder: Path

    def vacate(self) -> None:
        """Forget what the process at this place held when it died; what it had counted stays.

        For the supervisor, while no process is there.
        """
        mark_process_dead(self.number, str(self.folder))  # type: ignore[no-untyped-call]
        cells = _cells(self)
        for tally in range(len(_TALLIES)):
            cells[tally * self.count + self.number] = 0


class Tally:
    """A number that each process of a gateway adds to, and each sees the sum of.

    Nobody waits for a lock, because each writes a cell of its own: who adds first and looks at the sum second never
    lets too much in. Two that do so at once may both see too much and both refuse.

    Args:
        cells: one per process.
        own: which of them this process writes to.
    """

    def __init__(self, cells: list[int] | memoryview[int], own: int) -> None:
        """Leave the cells as they are."""
        self._cells = cells
        self._own = own

    @property
    def own(self) -> int:
        """What this process added."""
        return self._cells[self._own]

    @property
    def total(self) -> int:
        """What all processes added."""
        return sum(self._cells)

    def add(self, amount: int) -> int:
        """Add `amount` to this process's share, and return the sum of all."""
        self._cells[self._own] += amount
        return self.total


@dataclass(frozen=True)
class Tallies:
    """What the processes of a gateway count together.

    Attributes:
        requests: task requests held.
        bytes: held by them.
        refreshes: how often an operator had the model repository looked into.
    """

    requests: Tally
    bytes: Tally
    refreshes: Tally


def tallies(place: Place | None) -> Tallies:
    """Return the tallies of the process at `place`; those of one that is alone where there is none."""
    if place is None:
        return Tallies(*(Tally([0], 0) for _ in _TALLIES))
    cells = _cells(place)
    columns = (cells[tally * place.count : (tally + 1) * place.count] for tally in range(len(_TALLIES)))
    return Tallies(*(Tally(column, place.number) for column in columns))


def lay(folder: Path, count: int) -> None:
    """Make the tallies of `count` processes, all zero."""
    (folder / "tallies").write_bytes(bytes(_CELL * len(_TALLIES) * count))


def _cells(place: Place) -> memoryview[int]:
    with (place.folder / "tallies").open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
