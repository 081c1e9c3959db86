"""Metrics of several processes: each counts in a region of shared memory, and any of them tells the sum.

prometheus_client's own way is not taken: it keeps a file per process and kind of metric in a folder, mapped and grown
without being written. A full disk then ends a process by SIGBUS at the next series, and again the one that takes its
place; a folder that is cleaned empties `/metrics`.
"""

from __future__ import annotations

import json
import logging
import math
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from gateway.observability.place import Place, SharedMemory

_log = logging.getLogger(__name__)
_LENGTH, _VALUE = struct.Struct("q"), struct.Struct("d")
_MERGES: Mapping[str, Callable[[list[float]], float]] = {"livesum": sum, "livemin": min, "livemax": max}
Labels = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """What a value is of; `metric` names the family, `sample` the line of it, and `mode` is a gauge's alone."""

    kind: str
    mode: str
    metric: str
    sample: str
    help: str
    labels: Labels


class Region:
    """The values of one process, each behind its series as JSON: appended, and never moved.

    Whoever reads meanwhile sees an entry whole or not at all, since the length of all is written last.

    Args:
        view: bytes, all zero at first.
    """

    def __init__(self, view: memoryview[int]) -> None:
        """Find what is there already: of the process whose place this one takes."""
        self._view = view
        self._full = False
        self._slots = {text: slot for text, slot in self._entries()}

    def slot(self, text: bytes) -> int | None:
        """Return where the value of a series lies, which is made where it is new; None where there is no room."""
        if (slot := self._slots.get(text)) is not None:
            return slot
        begin, padded = self._used, text + b" " * (-len(text) % _VALUE.size)
        slot = begin + _LENGTH.size + len(padded)
        if slot + _VALUE.size > len(self._view):
            if not self._full:
                _log.error("the memory of metrics is full: series that begin now show in one process alone")
            self._full = True
            return None
        _LENGTH.pack_into(self._view, begin, len(padded))
        self._view[begin + _LENGTH.size : slot] = padded
        self.write(slot, 0.0)
        self._slots[text] = slot
        _LENGTH.pack_into(self._view, 0, slot + _VALUE.size)
        return slot

    def read(self, slot: int) -> float:
        """Return a value."""
        value: float = _VALUE.unpack_from(self._view, slot)[0]
        return value

    def write(self, slot: int, value: float) -> None:
        """Set a value."""
        _VALUE.pack_into(self._view, slot, value)

    def series(self) -> Iterator[tuple[Series, int]]:
        """Yield what there is, and where its value lies."""
        return ((_parsed(text), slot) for text, slot in self._entries())

    def _entries(self) -> Iterator[tuple[bytes, int]]:
        at, end = _LENGTH.size, self._used
        while at < end:
            slot = at + _LENGTH.size + _LENGTH.unpack_from(self._view, at)[0]
            yield bytes(self._view[at + _LENGTH.size : slot]).rstrip(b" "), slot
            at = slot + _VALUE.size

    @property
    def _used(self) -> int:
        used: int = _LENGTH.unpack_from(self._view, 0)[0]
        return used or _LENGTH.size


class SharedMetrics(Collector):
    """The metrics in the regions of all processes, as one.

    Args:
        memory: of the gateway.
    """

    def __init__(self, memory: SharedMemory) -> None:
        """Read nothing yet."""
        self._memory = memory

    def collect(self) -> Iterator[Metric]:
        """Return every metric; what is not a number is left out."""
        families: dict[tuple[str, str, str], dict[tuple[str, Labels], tuple[str, list[float]]]] = {}
        for number in range(self._memory.count):
            region = Region(self._memory.region(number))
            for series, slot in region.series():
                value = region.read(slot)
                if not math.isnan(value):
                    family = families.setdefault((series.metric, series.help, series.kind), {})
                    family.setdefault((series.sample, series.labels), (series.mode, []))[1].append(value)
        for (name, told, kind), family in families.items():
            merged = {key: _MERGES.get(mode, sum)(found) for key, (mode, found) in family.items()}
            metric = Metric(name, told, kind)
            metric.samples = [
                Sample(sample, dict(labels), value)
                for (sample, labels), value in (_added_up(name, merged) if kind == "histogram" else merged).items()
            ]
            yield metric


def count_in(place: Place) -> None:
    """Have prometheus_client keep what is declared from now on in the memory of `place`.

    Whoever takes a dead process's place counts on where that one ended. Its gauges begin at zero.
    """
    region, lock = Region(place.memory.region(place.number)), Lock()

    class SharedValue:
        """See `prometheus_client.values.MutexValue`, whose place it takes; exemplars are not shared."""

        _multiprocess = True

        def __init__(
            self,
            kind: str,
            metric: str,
            sample: str,
            names: Sequence[str],
            labels: Sequence[str],
            told: str,
            multiprocess_mode: str = "",
            **_: Any,
        ) -> None:
            series = Series(kind, multiprocess_mode, metric, sample, told, tuple(zip(names, labels, strict=True)))
            with lock:
                self._slot = region.slot(json.dumps(series).encode())
                self._value = 0.0 if self._slot is None or kind == "gauge" else region.read(self._slot)
                self._write()

        def inc(self, amount: float) -> None:
            with lock:
                self._value += amount
                self._write()

        def set(self, value: float, timestamp: float | None = None) -> None:
            with lock:
                self._value = float(value)
                self._write()

        def get(self) -> float:
            return self._value

        def set_exemplar(self, exemplar: object) -> None:
            pass

        def get_exemplar(self) -> None:
            return None

        def _write(self) -> None:
            if self._slot is not None:
                region.write(self._slot, self._value)

    values.ValueClass = SharedValue


def vacate(place: Place) -> None:
    """Forget what the process at `place` held when it died: its gauges and tallies. What it counted stays.

    For the supervisor, while no process is there.
    """
    place.clear()
    region = Region(place.memory.region(place.number))
    for series, slot in region.series():
        if series.kind == "gauge":
            region.write(slot, math.nan)


def _added_up(name: str, samples: dict[tuple[str, Labels], float]) -> dict[tuple[str, Labels], float]:
    """Return a histogram as it is shown, from one whose buckets hold what is in them alone, and which has no count."""
    buckets: defaultdict[Labels, dict[float, float]] = defaultdict(dict)
    sums: dict[Labels, float] = {}
    for (sample, labels), value in samples.items():
        if sample.endswith("_bucket"):
            buckets[labels[:-1]][float(labels[-1][1])] = value
        else:
            sums[labels] = value
    shown: dict[tuple[str, Labels], float] = {}
    for labels, counts in buckets.items():
        total = 0.0
        for edge in sorted(counts):
            total += counts[edge]
            shown[f"{name}_bucket", (*labels, ("le", floatToGoString(edge)))] = total  # type: ignore[no-untyped-call]
        shown[f"{name}_count", labels] = total
        shown[f"{name}_sum", labels] = sums.get(labels, 0.0)
    return shown


@cache
def _parsed(text: bytes) -> Series:
    kind, mode, metric, sample, told, labels = json.loads(text)
    return Series(kind, mode, metric, sample, told, tuple((name, value) for name, value in labels))
