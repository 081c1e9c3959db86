"""What is shown of the way to Triton, and what Triton is told of a trace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.engines.base import choose
from gateway.engines.triton.engine import TritonEngine
from gateway.observability.metrics import Telemetry
from gateway.observability.otlp import OtlpTracer
from gateway.observability.tracing import within
from gateway.scheduling.timeline import Timeline
from gateway.settings import TracingSettings
from tests.support.collector import collector
from tests.support.fake_triton import FakeTriton, fake_triton
from tests.support.trivial import write_trivial_model

TILES = 30


@pytest.mark.parametrize("share", [True, False], ids=["shared-memory", "binary"])
def test_each_tile_carries_its_own_span(tmp_path: Path, share: bool) -> None:
    write_trivial_model(tmp_path, "pair")

    async def run(endpoint: str) -> list[str | None]:
        async with fake_triton(tmp_path) as fake:
            telemetry = Telemetry()
            tracer = OtlpTracer(TracingSettings(endpoint=endpoint), telemetry)
            engine = TritonEngine(tmp_path, fake.url, share, 64 * 1024 * 1024, telemetry)
            await engine.start()
            parents = heard(fake)
            inputs = {name: np.zeros((TILES, 64, 64, 3), np.uint8) for name in ("pre", "post")}
            with within(tracer.begin("test", [])):
                await engine.infer(choose(engine, "damage", "pair"), inputs, ["label_map"], Timeline(30))
            await engine.infer(choose(engine, "damage", "pair"), inputs, ["label_map"], Timeline(30))
            await engine.close()
            await tracer.close()
            return parents

    with collector() as traces:
        parents = asyncio.run(run(traces.url))
    sent = {(span.trace_id, span.span_id) for span in traces.spans if span.name == "triton"}
    assert len(sent) == TILES
    told = [str(parent).split("-") for parent in parents[:TILES]]
    assert {(trace_id, span_id) for _, trace_id, span_id, _ in told} == sent
    assert {(version, int(flags, 16) & 1) for version, _, _, flags in told} == {("00", 1)}
    assert parents[TILES:] == [None] * TILES, "of what is not traced, nothing is told"


def test_bytes_on_their_way_are_shown_until_they_are_there(tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "pair")
    seen: list[float | None] = []

    async def run() -> float | None:
        async with fake_triton(tmp_path) as fake:
            telemetry = Telemetry()
            engine = TritonEngine(tmp_path, fake.url, True, 64 * 1024 * 1024, telemetry)
            await engine.start()

            async def look(request: Any, context: Any) -> None:
                seen.append(telemetry.registry.get_sample_value("maskgate_triton_inflight_bytes"))

            fake.hook = look
            inputs = {name: np.zeros((1, 64, 64, 3), np.uint8) for name in ("pre", "post")}
            await engine.infer(choose(engine, "damage", "pair"), inputs, ["label_map"], Timeline(30))
            await engine.close()
            return telemetry.registry.get_sample_value("maskgate_triton_inflight_bytes")

    assert asyncio.run(run()) == 0
    assert seen == [7 * 64 * 64], "two pictures of three bytes a pixel, and a label map"


def heard(fake: FakeTriton) -> list[str | None]:
    """Return a list that gets the `traceparent` of every request from now on, None where it has none."""
    parents: list[str | None] = []

    async def hear(request: Any, context: Any) -> None:
        parents.append(dict(context.invocation_metadata()).get("traceparent"))

    fake.hook = hear
    return parents
