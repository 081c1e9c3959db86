"""A collector of traces: takes OTLP over HTTP and keeps, or prints, what it is sent.

`python -m tests.support.collector 4318` prints the tree of each trace, for trying by hand.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SentStatus

# Longer than senders wait until they send the next spans of a trace.
_REST_SECONDS = 6


@dataclass(frozen=True)
class Span:
    """One span as it was sent. Identifiers in hexadecimal digits, times in nanoseconds."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, str | int]
    words: str

    @property
    def milliseconds(self) -> float:
        return (self.end - self.start) / 1e6


class Collector:
    """What has been sent so far.

    Attributes:
        url: where to send it.
        spans: in the order they came.
        status: what a sender is answered.
        delay: seconds until it is.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Span] = []
        self.status, self.delay = 200, 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def serve(self) -> None:
        """Answer until closed."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes, media_type: str) -> None:
        """Keep what one message says."""
        message = _from_json(body) if media_type == "application/json" else ExportTraceServiceRequest.FromString(body)
        for batch in message.resource_spans:
            service = str(_attributes(batch.resource.attributes).get("service.name"))
            self.spans += [_span(service, span) for scope in batch.scope_spans for span in scope.spans]

    def wait_for(self, condition: Callable[[list[Span]], bool], seconds: float = 20) -> list[Span]:
        """Return all spans once they meet a condition."""
        deadline = time.monotonic() + seconds
        while not condition(self.spans):
            assert time.monotonic() < deadline, tree(self.spans)
            time.sleep(0.02)
        return list(self.spans)


@contextmanager
def collector() -> Iterator[Collector]:
    """Run one on a free port until the context ends."""
    running = Collector()
    thread = threading.Thread(target=running.serve, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join()


def children(spans: Sequence[Span], parent: Span) -> list[Span]:
    """Return the steps of a span, in the order they began."""
    return sorted((span for span in spans if span.parent_id == parent.span_id), key=lambda span: span.start)


def tree(spans: Sequence[Span]) -> str:
    """Return the spans for reading: each below its parent, with its beginning and length in milliseconds."""
    known = {span.span_id for span in spans}
    roots = sorted((span for span in spans if span.parent_id not in known), key=lambda span: span.start)
    return "\n".join(line for root in roots for line in _lines(spans, root, root.start, 0))


def _lines(spans: Sequence[Span], span: Span, start: int, depth: int) -> Iterator[str]:
    said = " ".join(f"{key}={value}" for key, value in span.attributes.items())
    name = "  " * depth + span.name
    begin = (span.start - start) / 1e6
    yield f"{name:<32} {begin:8.2f} {span.milliseconds:8.2f} ms  {span.service}  {'FAILED ' * span.failed}{said}"
    for child in children(spans, span):
        yield from _lines(spans, child, start, depth + 1)


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    """Return a message as Triton writes it: identifiers in hexadecimal, where Protobuf's own JSON has base64."""
    text = re.sub(
        rb'"(traceId|spanId|parentSpanId)":"([0-9a-f]*)"',
        lambda found: b'"%s":"%s"' % (found[1], b64encode(bytes.fromhex(found[2].decode()))),
        body,
    )
    return json_format.Parse(text, ExportTraceServiceRequest())


def _span(service: str, span: SentSpan) -> Span:
    return Span(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == SentStatus.STATUS_CODE_ERROR,
        attributes=_attributes(span.attributes),
        words=str(span),
    )


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(collector.delay)
            if collector.status == 200:
                collector.take(body, self.headers["Content-Type"])
            self.send_response(collector.status)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler


def main() -> None:
    """Print what comes, once it has come to rest."""
    running = Collector(int(sys.argv[1]))
    threading.Thread(target=running.serve, daemon=True).start()
    print(f"collecting at {running.url}", flush=True)
    shown = seen = 0
    while True:
        time.sleep(_REST_SECONDS)
        if seen == len(running.spans) > shown:
            print(tree(running.spans[shown:seen]), flush=True)
            shown = seen
        seen = len(running.spans)


if __name__ == "__main__":
    main()
