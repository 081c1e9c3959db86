"""Traces of real processes: from the caller through the gateway into Triton, and logs that name them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from tests.support.collector import Span, children, collector
from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.triton import triton
from tests.support.trivial import write_trivial_model

pytestmark = pytest.mark.e2e
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PAIR = {"pre": ("Jane-Doe.png", encode(noise(300, 200))), "post": ("Jane-Doe.png", encode(noise(300, 200, seed=1)))}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_model(root, "bd-lite0")
    return root


def post(process: GatewayProcess) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "r-42"}
    answer = httpx.post(f"{process.address}/v1/damage?district_name=Jane-Doe", files=PAIR, headers=headers, timeout=60)
    assert answer.status_code == 200


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def theirs(spans: list[Span]) -> list[Span]:
    """Return Triton's spans of the trace, one a tile; it adds steps of its own below."""
    return [span for span in spans if span.trace_id == TRACE and span.name == "InferRequest"]


def test_a_trace_goes_through_the_gateway_into_triton(models: Path, tmp_path: Path) -> None:
    with collector() as traces:
        options = [
            "--trace-config=mode=opentelemetry",
            "--trace-config=rate=1",
            "--trace-config=level=TIMESTAMPS",
            f"--trace-config=opentelemetry,url={traces.url}",
            "--trace-config=opentelemetry,resource=service.name=triton",
        ]
        with triton(models, tmp_path / "log", *options) as server:
            environment = {"ENGINE_KIND": "triton", "ENGINE_TRITON_URL": server.url, "TRACING_ENDPOINT": traces.url}
            with gateway(models, **environment) as process:
                post(process)
            # Of many at once, Triton 2.51 begins a trace of its own for one.
            spans = traces.wait_for(lambda spans: len(theirs(spans)) >= 20 and bool(named(spans, "POST /v1/damage")))
    tiles = named(spans, "triton")
    assert len(tiles) == 24
    continued = [tile for tile in tiles if children(spans, tile)]
    assert len(continued) >= 20
    for tile in continued:
        (inside,) = children(spans, tile)
        assert inside in theirs(spans)
        assert tile.start <= inside.start <= tile.end, "on one machine the clocks agree"


def test_no_more_is_traced_than_the_gateway_itself_says(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as traces:
        # FastAPI would take these for itself, and tell of paths and queries.
        monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url.removesuffix("/v1/traces"))
        with gateway(models, TRACING_ENDPOINT=traces.url) as process:
            post(process)
        spans = traces.wait_for(lambda spans: bool(named(spans, "POST /v1/damage")))
    assert len(named(spans, "POST /v1/damage")) == 1
    assert {span.name for span in spans} <= {
        *("POST /v1/damage", "lane"),
        *("receive", "queue", "decode", "infer", "finish", "encode", "send"),
    }
    assert "Jane" not in "".join(span.words for span in spans)


def test_logs_are_json_and_name_request_and_trace(models: Path) -> None:
    with collector() as traces, gateway(models, TRACING_ENDPOINT=traces.url, LOG_FORMAT="json") as process:
        post(process)
        deadline = time.monotonic() + 10
        while not (lines := [line for line in process.output if "gateway.access" in line]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        line = json.loads(lines[0])
        assert line.items() >= {"request_id": "r-42", "trace_id": TRACE, "level": "INFO"}.items()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
        assert "/v1/damage" in line["message"]
        logged = [text for text in process.output if text.startswith("{")]
        assert {json.loads(text)["logger"] for text in logged} >= {"gateway.engines.embedded.engine", "gateway.access"}
        assert "Jane" not in "".join(process.output)


def test_a_collector_that_is_away_is_said_once_and_the_gateway_leaves_in_time(models: Path) -> None:
    with gateway(models, TRACING_ENDPOINT="http://127.0.0.1:9/v1/traces", SERVER_DRAIN_DELAY_SECONDS="0") as process:
        for _ in range(3):
            post(process)
        process.terminate()
        began = time.monotonic()
        process.process.wait(30)
        assert time.monotonic() - began < 12
    output = "".join(process.output)
    assert output.count("does not take them") <= 1
    assert "Traceback" not in output
    assert "127.0.0.1:9" not in output
