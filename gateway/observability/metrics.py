"""Every metric the gateway exposes, declared in one place.

One table and not one per room: each metric is shown from the first scrape on, those of the engine that is not in use
too, several are counted by two rooms, and who writes an alert reads one list.

Label values come from closed sets: route templates, stages, reasons, model names of the
repository. Nothing a caller can invent becomes a label.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from resource import getpagesize
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from gateway import __version__
from gateway.observability.shared_metrics import SharedMetrics, count_in
from gateway.observability.tracing import exemplar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.observability.place import Place

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_STAGE_SECONDS = (0.0005, 0.001, 0.0025, *_SECONDS)
_LAG_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)
_BYTES = tuple(4.0**power * 1024 for power in range(11))
_LAG_PERIOD = 0.05
_BEATS_PER_LOOK = 20
_PROCESS = Path("/proc/self")


class Timed(Protocol):
    """The time that one request took, as `Timeline` keeps it."""

    @property
    def lane(self) -> str:
        """In which it waited."""

    @property
    def seconds(self) -> Mapping[Any, float]:
        """Per stage."""


class Telemetry:
    """The process's metrics, in a registry of their own so that two apps never share one.

    Of a gateway in several processes each counts in shared memory, and any of them tells the sum of all. A gauge says
    in its `multiprocess_mode` how those of living processes make one; counters outlive their process.

    Args:
        place: which of several processes this is; None where it is alone.
    """

    def __init__(self, place: Place | None = None) -> None:
        """Declare every metric."""
        self._shared = place.memory if place else None
        if place:
            count_in(place)
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "maskgate_http_requests_total",
            "HTTP requests answered",
            ("route", "method", "status_class"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "maskgate_http_request_duration_seconds",
            "From the first byte in to the last byte out",
            ("route", "method"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.body_bytes = Histogram(
            "maskgate_request_body_bytes", "Bodies received", ("route",), buckets=_BYTES, registry=registry
        )
        self.images_decoded = Counter("maskgate_images_decoded_total", "Uploaded images decoded", registry=registry)
        self.stage_seconds = Histogram(
            "maskgate_stage_duration_seconds",
            "Time a task request spent in one stage",
            ("task", "stage"),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "maskgate_queue_wait_seconds",
            "Time a task request waited to be worked on",
            ("lane",),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.queued_seconds = Gauge(
            "maskgate_queued_work_seconds",
            "Predicted work of task requests that were let in and wait, one at a time for no more than a slice of work",
            ("lane",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.shed = Counter(
            "maskgate_shed_total",
            "Task requests let in and dropped before they were worked on, since they would have been late",
            ("lane",),
            registry=registry,
        )
        self.inflight_requests = Gauge(
            "maskgate_inflight_requests",
            "Task requests held, waiting ones included",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.inflight_bytes = Gauge(
            "maskgate_inflight_bytes", "Bytes reserved by task requests", registry=registry, multiprocess_mode="livesum"
        )
        self.rejected = Counter(
            "maskgate_rejected_total", "Requests answered with a problem document", ("reason",), registry=registry
        )
        self.cancelled = Counter(
            "maskgate_cancelled_total", "Requests whose caller left", ("stage",), registry=registry
        )
        self.pool_threads = Gauge(
            "maskgate_pool_threads",
            "Threads that decode and encode (worker), and that run models (lane); of each one more for emergencies",
            ("pool",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.pool_busy_seconds = Counter(
            "maskgate_pool_busy_seconds_total",
            "Time that threads were busy, all together",
            ("pool",),
            registry=registry,
        )
        self.pool_wait_seconds = Histogram(
            "maskgate_pool_wait_seconds",
            "Time a call waited for a thread",
            ("pool",),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.tiles = Counter("maskgate_tiles_total", "Tiles inferred", ("model",), registry=registry)
        self.batch_items = Histogram(
            "maskgate_batch_items", "Tiles per engine call", ("model",), buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.class_share = Histogram(
            "maskgate_output_class_fraction_ratio",
            "Share of a class in an answered label map",
            ("model", "value"),
            buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1),
            registry=registry,
        )
        self.class_score = Histogram(
            "maskgate_output_class_score_ratio",
            "Probability of a class that a model of whole images answered",
            ("model", "value"),
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1),
            registry=registry,
        )
        self.pair_shift = Histogram(
            "maskgate_pair_shift_pixels",
            "Shift measured between the images of a pair, where it is sure",
            buckets=(0.25, 0.5, 1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.model_ready = Gauge(
            "maskgate_model_ready",
            "1 where the model answers requests, in every process, else 0",
            ("model",),
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.engine_seconds = Histogram(
            "maskgate_engine_run_duration_seconds",
            "Time a batch kept one lane of the embedded engine",
            ("model", "version"),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.triton_seconds = Histogram(
            "maskgate_triton_request_duration_seconds",
            "Time a tile took to Triton and back, copies included",
            ("model", "version"),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.triton_errors = Counter(
            "maskgate_triton_errors_total", "Tiles that Triton gave no answer for", ("reason",), registry=registry
        )
        self.triton_inflight_bytes = Gauge(
            "maskgate_triton_inflight_bytes",
            "Tensors on their way to Triton and back",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.triton_transport = Gauge(
            "maskgate_triton_transport_info",
            "1 for how tensors travel to Triton",
            ("transport",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.connections_cut = Counter(
            "maskgate_connections_cut_total",
            "Connections ended for a caller who was slow to ask or to read, or whose request is not one",
            ("reason",),
            registry=registry,
        )
        self.refreshes = Counter(
            "maskgate_repository_refreshes_total",
            "Looks into the model repository: unchanged, changed, or failed where something in it is not served",
            ("outcome",),
            registry=registry,
        )
        self.session_hits = Counter(
            "maskgate_session_cache_hits_total", "Encoder features found kept", registry=registry
        )
        self.session_misses = Counter(
            "maskgate_session_cache_misses_total", "Encoder features made, or made again", registry=registry
        )
        self.session_evictions = Counter(
            "maskgate_session_cache_evictions_total", "Encoder features given up for want of room", registry=registry
        )
        self.session_bytes = Gauge(
            "maskgate_session_cache_bytes",
            "Images and features of sessions in the gateway's processes",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.loop_lag = Histogram(
            "maskgate_event_loop_lag_seconds",
            "How late the event loop woke a sleeper",
            buckets=_LAG_SECONDS,
            registry=registry,
        )
        self.job_items = Counter(
            "maskgate_job_items_total", "Items of jobs that ended", ("task", "outcome"), registry=registry
        )
        self.job_items_waiting = Gauge(
            "maskgate_job_items_waiting", "Items of jobs that wait", registry=registry, multiprocess_mode="livesum"
        )
        self.process_starts = Counter(
            "maskgate_process_starts_total", "Processes begun, replacements of dead ones included", registry=registry
        )
        self.processes = Gauge(
            "maskgate_processes", "Living processes of the gateway", registry=registry, multiprocess_mode="livesum"
        )
        build = Gauge(
            "maskgate_build_info",
            "Always 1; the labels tell the build",
            ("version",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.spans = Counter(
            "maskgate_trace_spans_total",
            "Spans sent to the collector of traces, or lost",
            ("outcome",),
            registry=registry,
        )
        self.cpu_seconds = Counter("maskgate_cpu_seconds_total", "Processor time spent", registry=registry)
        self.resident_bytes = Gauge(
            "maskgate_resident_memory_bytes", "Memory resident", registry=registry, multiprocess_mode="livesum"
        )
        self.open_files = Gauge(
            "maskgate_open_files", "File descriptors open", registry=registry, multiprocess_mode="livesum"
        )
        build.labels(__version__).set(1)
        self.process_starts.inc()
        self.processes.set(1)

    def exposition(self) -> bytes:
        """Return all metrics, those of the gateway's other processes added, in Prometheus' text format 0.0.4."""
        return generate_latest(self._exposed())

    def forget_model(self, model: str) -> None:
        """Show nothing more of a model that is gone."""
        if self._shared is None:
            self.model_ready.remove(model)
        else:
            # Shared memory gives nothing back; what is not a number is left out when it is shown.
            self.model_ready.labels(model).set(math.nan)

    def _exposed(self) -> CollectorRegistry:
        """Return what is shown: the registry of this process, or one of the sums over all processes."""
        if self._shared is None:
            return self.registry
        together = CollectorRegistry()
        together.register(SharedMetrics(self._shared))
        return together

    def openmetrics(self) -> bytes:
        """Return all metrics as OpenMetrics 1.0, which has exemplars: they lead to traces."""
        text: bytes = openmetrics.generate_latest(self._exposed())  # type: ignore[no-untyped-call]
        return text

    @contextmanager
    def task(self, task: str, timeline: Timed) -> Iterator[None]:
        """Count one task request as in flight; publish its stages when it ends, however it ends."""
        self.inflight_requests.inc()
        try:
            yield
        finally:
            self.inflight_requests.dec()
            for stage, seconds in timeline.seconds.items():
                self.stage_seconds.labels(task, stage).observe(seconds, exemplar())
            if "queue" in timeline.seconds:
                self.queue_seconds.labels(timeline.lane).observe(timeline.seconds["queue"])

    @asynccontextmanager
    async def watch_loop(self) -> AsyncIterator[None]:
        """Measure the event loop's lag while inside, and now and then what the process takes."""

        async def watch() -> None:
            loop = asyncio.get_running_loop()
            measured = 0.0
            for beat in count():
                if beat % _BEATS_PER_LOOK == 0:
                    measured = self._look_at_process(measured)
                due = loop.time() + _LAG_PERIOD
                await asyncio.sleep(_LAG_PERIOD)
                self.loop_lag.observe(max(0.0, loop.time() - due))

        watcher = asyncio.create_task(watch(), name="event-loop-lag")
        try:
            yield
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher

    def _look_at_process(self, measured: float) -> float:
        """Publish what the process takes, and return the processor time it has spent; `measured` is that of before.

        By hand: prometheus_client's own collector knows one process alone. What Linux alone tells stays 0 elsewhere.
        """
        spent = time.process_time()
        self.cpu_seconds.inc(spent - measured)
        with suppress(OSError):
            self.resident_bytes.set(int((_PROCESS / "statm").read_text().split()[1]) * getpagesize())
            self.open_files.set(len(list((_PROCESS / "fd").iterdir())))
        return spent
