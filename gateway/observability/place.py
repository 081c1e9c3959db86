"""One gateway in several processes: which of them this is, and the memory that they count in together.

The memory has no name in any file system. So no full disk ends a process in the middle of a write (SIGBUS), nobody who
cleans a temporary folder takes the counts away, and nothing is left behind however the processes end.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time
from dataclasses import dataclass

_TALLIES = ("requests", "bytes", "refreshes", "connections")
_BEAT = len(_TALLIES)
_CELL = 8
_REGION = 4 * 1024 * 1024
"""Bytes for the metrics of one process: some 20,000 series. What is not written to takes no memory on Linux."""


class SharedMemory:
    """Memory of a supervisor and its processes: rows of a cell per process, and a region of metrics per process.

    Args:
        descriptor: of the memory; whoever inherits it shares the memory.
        count: how many processes there are.
    """

    def __init__(self, descriptor: int, count: int) -> None:
        """Map it; the descriptor stays the caller's.

        Raises:
            ValueError: it is not memory of so many processes.
        """
        self.descriptor = descriptor
        self.count = count
        self._map = memoryview(mmap.mmap(descriptor, _size(count)))

    @classmethod
    def create(cls, count: int) -> SharedMemory:
        """Return memory for `count` processes, all zero.

        Raises:
            OSError: there is none to be had.
        """
        if sys.platform == "linux":
            descriptor = os.memfd_create("maskgate")
            os.ftruncate(descriptor, _size(count))
            return cls(descriptor, count)
        with tempfile.TemporaryFile() as file:
            # Written and not only made so long: a full disk shows here, and not as SIGBUS later.
            file.write(bytes(_size(count)))
            file.flush()
            return cls(os.dup(file.fileno()), count)

    def row(self, number: int) -> memoryview[int]:
        """Return a cell of 64 bits per process: of a tally, or of when each has beaten last."""
        begin = number * self.count * _CELL
        return self._map[begin : begin + self.count * _CELL].cast("q")

    def region(self, number: int) -> memoryview[int]:
        """Return the bytes in which process `number` keeps its metrics."""
        begin = _rows(self.count) + number * _REGION
        return self._map[begin : begin + _REGION]


@dataclass(frozen=True)
class Place:
    """Where one process stands among those of its gateway.

    Attributes:
        number: 0, 1, …; whoever replaces a dead process takes its number.
        memory: the same for all of them.
    """

    number: int
    memory: SharedMemory

    def beat(self) -> None:
        """Say that the event loop of the process here turns."""
        self.memory.row(_BEAT)[self.number] = time.monotonic_ns()

    @property
    def others(self) -> list[int]:
        """The numbers of the other processes that have begun to beat."""
        beats = self.memory.row(_BEAT)
        return [number for number, beat in enumerate(beats) if beat and number != self.number]

    @property
    def beaten(self) -> int:
        """When the process here has beaten last, in nanoseconds of the system's monotonic clock; 0: never."""
        return self.memory.row(_BEAT)[self.number]

    def clear(self) -> None:
        """Zero the tallies of the process at this place, and its beat."""
        for row in range(_BEAT + 1):
            self.memory.row(row)[self.number] = 0


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

    def of(self, number: int) -> int:
        """Return what a process added."""
        return self._cells[number]

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
        connections: of callers, that are open.
    """

    requests: Tally
    bytes: Tally
    refreshes: Tally
    connections: Tally


def tallies(place: Place | None) -> Tallies:
    """Return the tallies of the process at `place`; those of one that is alone where there is none."""
    if place is None:
        return Tallies(*(Tally([0], 0) for _ in _TALLIES))
    return Tallies(*(Tally(place.memory.row(row), place.number) for row in range(len(_TALLIES))))


def _rows(count: int) -> int:
    """Return the bytes of all rows, in whole pages, so that regions begin at one."""
    return -(-(_BEAT + 1) * count * _CELL // mmap.PAGESIZE) * mmap.PAGESIZE


def _size(count: int) -> int:
    return _rows(count) + count * _REGION
