"""Traces by OpenTelemetry, sent over OTLP/HTTP. Imported only where they are configured."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes as AnyAttributes

from gateway import __version__
from gateway.observability.metrics import Telemetry
from gateway.observability.tracing import Attributes
from gateway.settings import TracingSettings

_log = logging.getLogger(__name__)

_SEND_SECONDS = 5
_FLUSH_SECONDS = 5
_HEADER = "traceparent"


@dataclass(frozen=True)
class OtlpSpan:
    """A span of OpenTelemetry's; see `gateway.observability.tracing.Span`."""

    _tracer: trace.Tracer
    _span: trace.Span

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, the same for all spans of a request."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def sampled(self) -> bool:
        """Whether it is recorded."""
        return self._span.is_recording()

    @property
    def traceparent(self) -> str:
        """The value of W3C's header of that name, for whoever works on this step elsewhere."""
        context = self._span.get_span_context()
        return f"00-{self.trace_id}-{trace.format_span_id(context.span_id)}-{context.trace_flags:02x}"

    def child(self, name: str, attributes: Attributes) -> OtlpSpan:
        """Begin a step of this one."""
        if not self._span.is_recording():
            return self  # ending it again and again is nothing to it
        within = trace.set_span_in_context(self._span, Context())
        return OtlpSpan(self._tracer, self._tracer.start_span(name, within, attributes=attributes))

    def name(self, name: str, attributes: Attributes) -> None:
        """Call it `name`, and add `attributes`."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)

    def end(self, failure: str | None) -> None:
        """End it; `failure` names the kind of error that it ended with."""
        if failure is not None:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", failure)
        self._span.end()


class OtlpTracer:
    """Sends spans to a collector, in the background; see `gateway.observability.tracing.Tracer`.

    A collector that is slow or away costs a request nothing: what does not fit into a queue of 2,048 spans is dropped.

    Args:
        settings: where to, how many, and under which name.
        telemetry: where spans are counted.
    """

    def __init__(self, settings: TracingSettings, telemetry: Telemetry) -> None:
        """Start the thread that sends."""
        drawn = Drawn(settings.sample_ratio)
        # By default followed whatever the caller says: anybody could have every request of theirs recorded, or none.
        sampler = ParentBased(drawn) if settings.trust_sampling else ParentBased(drawn, drawn, drawn)
        # It is not sent at exit: the app closes it, within bounds.
        self._provider = TracerProvider(
            sampler,
            Resource.create({"service.name": settings.service_name, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(settings.endpoint, timeout=_SEND_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(Watched(exporter, telemetry)))
        self._tracer = self._provider.get_tracer("maskgate", __version__)

    def begin(self, name: str, traceparents: Sequence[str]) -> OtlpSpan:
        """Begin the span of a request; see `Tracer.begin`.

        What else the caller may send of W3C's, `tracestate` and `baggage`, is free text and goes no further.
        """
        carrier = {_HEADER: traceparents[0]} if len(traceparents) == 1 else {}
        parent = TraceContextTextMapPropagator().extract(carrier, Context())
        return OtlpSpan(self._tracer, self._tracer.start_span(name, parent, SpanKind.SERVER))

    async def close(self) -> None:
        """Send what is not sent yet, as far as a few seconds let it."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waited so long: the loop is closed
                loop.call_soon_threadsafe(sent.set)

        # Not in the loop's own pool, whose threads are waited for however long they take.
        threading.Thread(target=send, name="last-spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await sent.wait()


class Drawn(Sampler):
    """Records a share of the traces, drawn by lot: a caller who chooses the trace id does not choose this.

    Args:
        ratio: the share, 0–1.
    """

    def __init__(self, ratio: float) -> None:
        """Keep the share."""
        self._ratio = ratio

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: AnyAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return whether the trace that a request begins is recorded."""
        wins = secrets.randbits(53) < self._ratio * 2**53
        return SamplingResult(Decision.RECORD_AND_SAMPLE if wins else Decision.DROP, attributes)

    def get_description(self) -> str:
        """Return what it does."""
        return f"Drawn({self._ratio})"


class Watched(SpanExporter):
    """Counts what the collector takes, and says once that it takes nothing, and once that it does again.

    Args:
        exporter: what sends.
        telemetry: where spans are counted.
    """

    def __init__(self, exporter: SpanExporter, telemetry: Telemetry) -> None:
        """Have the exporter itself be quiet: it would say so at every try."""
        self._exporter = exporter
        self._telemetry = telemetry
        self._away = False
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, in a thread of their own."""
        result = self._exporter.export(spans)
        away = result is not SpanExportResult.SUCCESS
        self._telemetry.spans.labels("lost" if away else "sent").inc(len(spans))
        if away != self._away:
            log = _log.warning if away else _log.info
            log("the collector of traces %s", "does not take them" if away else "takes them again")
        self._away = away
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()
