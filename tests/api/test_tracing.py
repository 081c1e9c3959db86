"""Traces: what a collector is told of a request, and what it costs the request where there is none."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.collector import Collector, Span, children, collector, tree
from tests.support.pictures import encode, noise
from tests.support.places import ROOT

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
PAIR = {"pre": encode(noise(150, 100)), "post": encode(noise(150, 100, seed=1))}
ROUTE = "POST /v1/damage"


@pytest.fixture
def traces() -> Iterator[Collector]:
    with collector() as running_collector:
        yield running_collector


def sent(traces: Collector, repository: Path, *requests: dict[str, str], **settings: object) -> list[Span]:
    """Return what an app sends of requests with these headers until it has closed."""
    with running(app(repository, traces.url, **settings)) as client:
        for headers in requests:
            ask(client, headers)
    return traces.spans


def app(repository: Path, endpoint: str, **settings: object) -> FastAPI:
    tracing = {"endpoint": endpoint, **settings}
    return create_app(Settings(models={"repository": repository, "damage": "trivial"}, tracing=tracing))


def ask(client: AppClient, headers: dict[str, str] | None = None, query: str = "") -> int:
    return client.post(f"/v1/damage{query}", files=PAIR, headers=headers or {}).status_code


def root(spans: list[Span]) -> Span:
    (found,) = (span for span in spans if span.name == ROUTE)
    return found


def test_a_request_is_a_span_with_its_stages_and_engine_calls_below(traces: Collector, repository: Path) -> None:
    spans = sent(traces, repository, {"traceparent": SAMPLED})
    request = root(spans)
    assert (request.trace_id, request.parent_id, request.service) == (TRACE, PARENT, "maskgate")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/damage",
        "http.response.status_code": 200,
    }
    stages = children(spans, request)
    assert {span.name for span in stages} == {"receive", "queue", "decode", "infer", "finish", "encode", "send"}
    calls = [call for span in stages if span.name == "infer" for call in children(spans, span)]
    assert sum(int(call.attributes["items"]) for call in calls) == 6, "a tile is in one call of the engine"
    for call in calls:
        assert call.name == "lane"
        assert (call.attributes["model"], call.attributes["version"]) == ("trivial", 1)
    assert {span.trace_id for span in spans} == {TRACE}
    for span in spans:
        assert request.start <= span.start <= span.end <= request.end, tree(spans)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-0g",
        f"00-{TRACE}-{PARENT}-01, {SAMPLED}",
    ],
)
def test_what_is_no_traceparent_begins_a_trace(traces: Collector, repository: Path, header: str) -> None:
    request = root(sent(traces, repository, {"traceparent": header}))
    assert request.trace_id != TRACE
    assert request.parent_id == ""


def test_two_traceparents_begin_a_trace(traces: Collector, repository: Path) -> None:
    with running(app(repository, traces.url)) as client:
        client.post("/v1/damage", files=PAIR, headers=[("traceparent", SAMPLED), ("traceparent", SAMPLED)])
    assert root(traces.spans).trace_id != TRACE


def test_a_version_of_the_future_is_continued(traces: Collector, repository: Path) -> None:
    request = root(sent(traces, repository, {"traceparent": f"01-{TRACE}-{PARENT}-01-what-is-to-come"}))
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)


@pytest.mark.parametrize(
    ("flag", "settings", "recorded"),
    [
        ("01", {"sample_ratio": 0.0}, False),
        ("00", {"sample_ratio": 1.0}, True),
        ("01", {"sample_ratio": 0.0, "trust_sampling": True}, True),
        ("00", {"sample_ratio": 1.0, "trust_sampling": True}, False),
    ],
)
def test_a_caller_decides_what_is_recorded_only_where_trusted(
    traces: Collector, repository: Path, flag: str, settings: dict[str, object], recorded: bool
) -> None:
    spans = sent(traces, repository, {"traceparent": f"00-{TRACE}-{PARENT}-{flag}"}, **settings)
    assert bool(spans) is recorded


def test_a_share_is_recorded_whatever_trace_id_the_caller_chooses(traces: Collector, repository: Path) -> None:
    with running(app(repository, traces.url, sample_ratio=0.5)) as client:
        for _ in range(60):
            client.get("/v1/models", headers={"traceparent": SAMPLED})
    assert 10 < len(traces.spans) < 50  # outside of which one run in ten million is


def test_a_failure_is_told_by_its_kind_alone(traces: Collector, repository: Path) -> None:
    with running(app(repository, traces.url)) as client:
        broken = {"pre": ("Jane-Doe.png", PAIR["pre"][:200] + b"Jane Doe"), "post": ("Jane-Doe.png", PAIR["post"])}
        headers = {"X-Request-ID": "Jane-Doe", "X-API-Key": "Jane-Doe", "tracestate": "a=Jane-Doe", "baggage": "b=Jane"}
        answer = client.post("/v1/damage?district_name=Jane-Doe", files=broken, headers=headers)
    assert answer.status_code == 422
    request = root(traces.spans)
    assert request.attributes["maskgate.problem"] == answer.json()["code"]
    assert not request.failed, "the caller's fault is none of the server's"
    (decoding,) = (span for span in children(traces.spans, request) if span.failed)
    assert decoding.name == "decode"
    assert re.fullmatch("[A-Za-z]+", str(decoding.attributes["error.type"]))
    assert "Jane" not in "".join(span.words for span in traces.spans)


def test_paths_that_nobody_declared_and_methods_that_nobody_knows_have_no_name(
    traces: Collector, repository: Path
) -> None:
    with running(app(repository, traces.url)) as client:
        client.get("/v1/Jane-Doe")
        client.get("/healthz")
        client.get("/metrics")
    assert [span.name for span in traces.spans] == ["GET unmatched"]


@pytest.mark.parametrize("how", ["refuses", "fails", "hangs"])
def test_a_collector_that_is_away_costs_a_request_nothing(repository: Path, how: str, traces: Collector) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = traces.url
        if how == "refuses":
            endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}/v1/traces"
        traces.status, traces.delay = 500, 60.0 if how == "hangs" else 0.0
        with running(app(repository, endpoint)) as client:
            assert {ask(client) for _ in range(60)} == {200}
            if how == "fails":
                deadline = time.monotonic() + 20
                while not client.sample("maskgate_trace_spans_total", outcome="lost"):
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            closing_began = time.monotonic()
        assert time.monotonic() - closing_began < 8, "closing has its bound, and a machine its load"


def test_metrics_lead_to_traces(traces: Collector, repository: Path) -> None:
    with running(app(repository, traces.url)) as client:
        ask(client, {"traceparent": SAMPLED})
        answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
        plain = client.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    for name in ("http_request", "stage", "engine_run"):
        pattern = rf'maskgate_{name}_duration_seconds_bucket{{.*}} [0-9.]+ # {{trace_id="{TRACE}"}}'
        assert re.search(pattern, answer.text), name
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert TRACE not in plain.text


def test_nothing_is_loaded_where_nothing_is_traced(repository: Path) -> None:
    program = """
import sys
from gateway.app import create_app
from gateway.settings import Settings
create_app(Settings(models={"repository": sys.argv[1]}))
# FastAPI and redis import the interfaces of OpenTelemetry, used or not.
ours = "opentelemetry.sdk.trace", "opentelemetry.exporter", "requests"
print([name for name in sys.modules if name.startswith(ours)])
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(repository)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("endpoint", ["collector:4318", "http://user:secret@collector/v1/traces", "http://a b"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"tracing\.endpoint"):
        Settings(tracing={"endpoint": endpoint})
