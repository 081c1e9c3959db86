"""Metrics of several processes: each counts into files of its own, and any of them tells the sum."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gateway.observability.place import Place


class SharedMetrics(Collector):
    """The metrics in the files of all processes, as one.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Return every metric; what is not a number is left out."""
        # A file is empty for an instant after it was made, for good where its process died in that instant.
        files = [str(file) for file in sorted(self._folder.glob("*.db")) if _size(file)]
        for metric in MultiProcessCollector.merge(files):  # type: ignore[no-untyped-call]
            metric.samples = [sample for sample in metric.samples if not math.isnan(sample.value)]
            yield metric


def count_into_files(place: Place) -> None:
    """Have prometheus_client keep what is declared from now on in files of `place`.

    They are named by the number of the place, not by the process's as its default is: so whoever takes a dead process's
    place counts on where that one ended, and there are no more files however often one dies.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(place.folder)
    values.ValueClass = values.MultiProcessValue(lambda: place.number)  # type: ignore[no-untyped-call]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # the gauges of a process that just died
        return 0
