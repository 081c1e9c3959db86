"""What a gateway says of itself while it is under load, and what the system says of its processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

Buckets = Mapping[float, float]
"""Upper edge → how many were not above it, since the process began."""

_QUEUE, _LAG = "maskgate_queue_wait_seconds", "maskgate_event_loop_lag_seconds"
_REQUESTS, _HELD = "maskgate_http_requests_total", "maskgate_inflight_requests"
_TASKS = ("/v1/", "/v2/")
_MOST = 4000
"""Samples; one more, and every other is dropped and looks are half as often, or a watch of days would itself grow."""


@dataclass(frozen=True)
class Sample:
    """One look.

    Attributes:
        at: seconds since 1970.
        requests: answered under /v1 and /v2 since the gateway began, refusals among them.
        sessions: click sessions ended since then.
        held: requests in flight.
        queue: lane → waits for a turn, in seconds.
        lag: of the event loop, in seconds.
        rss_mib: resident memory of all its processes; None where they are not on this machine, or not known.
        anonymous_mib: that of it which no file is behind.
        cpu_seconds: of all its processes.
    """

    at: float
    requests: float = 0
    sessions: float = 0
    held: float = 0
    queue: Mapping[str, Buckets] = field(default_factory=dict)
    lag: Buckets = field(default_factory=dict)
    rss_mib: float | None = None
    anonymous_mib: float | None = None
    cpu_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the sample without what percentiles are computed from."""
        return {key: value for key, value in asdict(self).items() if key not in ("queue", "lag")}


def read_metrics(text: str) -> dict[str, Any]:
    """Return what an exposition says, as fields of a `Sample`; what it does not hold is left out of them."""
    totals: dict[str, float] = {}
    queue: dict[str, dict[float, float]] = {}
    lag: dict[float, float] = {}
    sessions = 0.0
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            if name in (f"{_QUEUE}_bucket", f"{_LAG}_bucket"):
                buckets = lag if name.startswith(_LAG) else queue.setdefault(labels.get("lane", "all"), {})
                edge = float(labels["le"])
                buckets[edge] = buckets.get(edge, 0) + value
            elif name == _REQUESTS and labels["route"].startswith(_TASKS):
                totals[name] = totals.get(name, 0) + value
                ended = labels["route"].endswith("/sessions/{session}") and labels["method"] == "DELETE"
                sessions += value if ended and labels["status_class"] == "2xx" else 0
            elif name == _HELD:
                totals[name] = totals.get(name, 0) + value
    return {
        "requests": totals.get(_REQUESTS, 0),
        "sessions": sessions,
        "held": totals.get(_HELD, 0),
        "queue": queue,
        "lag": lag,
    }


def read_processes(pid: int) -> dict[str, float]:
    """Return memory and time of a process and of all that it started, as fields of a `Sample`.

    Raises:
        psutil.Error: there is no such process, or it is not ours to look at.
    """
    found = {"rss_mib": 0.0, "anonymous_mib": 0.0, "cpu_seconds": 0.0}
    first = psutil.Process(pid)
    for one in [first, *first.children(recursive=True)]:
        with one.oneshot():
            memory, spent = one.memory_info(), one.cpu_times()
        found["rss_mib"] += memory.rss / 2**20
        # Linux alone tells what of it files are behind.
        found["anonymous_mib"] += (memory.rss - getattr(memory, "shared", 0)) / 2**20
        found["cpu_seconds"] += spent.user + spent.system
    return found


def quantile(before: Buckets, after: Buckets, share: float) -> float | None:
    """Return the time that `share` of what was counted between two looks did not exceed, None where nothing was.

    Between the edges of a bucket as Prometheus' histogram_quantile has it: in a straight line.
    """
    edges = sorted(after)
    counts = [after[edge] - before.get(edge, 0) for edge in edges]
    if not counts or counts[-1] <= 0:
        return None
    wanted, low, below = share * counts[-1], 0.0, 0.0
    for edge, count in zip(edges, counts, strict=True):
        if count >= wanted:
            return low if edge == float("inf") else low + (edge - low) * (wanted - below) / (count - below or 1)
        low, below = edge, count
    return low


class Watch:
    """Looks at a gateway from a thread of its own, for as long as the context lasts.

    Args:
        address: ``http://…`` of the gateway.
        pid: its process, where it runs on this machine.
        period: seconds between looks.
        headers: of each: a key, where the gateway asks for one.

    Attributes:
        missed: looks at which the gateway gave no answer in time.
    """

    def __init__(
        self, address: str, pid: int | None, period: float = 1.0, headers: Mapping[str, str] | None = None
    ) -> None:
        """Look for the first time."""
        self.missed = 0
        self._pid, self._period = pid, period
        self._client = httpx.Client(base_url=address, headers=headers, timeout=10)
        self._leave, self._samples = threading.Event(), list[Sample]()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._look()

    def __enter__(self) -> Watch:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look once more, and stop."""
        self._leave.set()
        self._thread.join(30)
        self._look()
        self._client.close()

    @property
    def samples(self) -> Sequence[Sample]:
        """What was seen until now."""
        return tuple(self._samples)

    def _keep_looking(self) -> None:
        while not self._leave.wait(self._period):
            self._look()

    def _look(self) -> None:
        at = time.time()
        try:
            seen = read_metrics(self._client.get("/metrics").raise_for_status().text)
            own: Mapping[str, Any] = read_processes(self._pid) if self._pid is not None else {}
        except (httpx.HTTPError, psutil.Error):
            self.missed += 1
            return
        self._samples.append(Sample(at, **seen, **own))
        if len(self._samples) > _MOST:
            self._samples, self._period = self._samples[::2], 2 * self._period
