"""A scenario with an engine and the fake Triton that it talks to, and what every scenario asks of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from gateway.engines.base import Model, choose
from gateway.engines.triton.engine import TritonEngine
from gateway.engines.triton.shared_memory import FOLDER, PREFIX
from gateway.observability.metrics import Telemetry
from gateway.scheduling.timeline import Timeline
from tests.support.fake_triton import FakeTriton, fake_triton
from tests.support.trivial import label_table

MIB = 1024 * 1024
Scenario = Callable[[FakeTriton, TritonEngine], Awaitable[None]]


def play(models: Path, scenario: Scenario, share: bool = True, inflight_bytes: int = 64 * MIB) -> None:
    """Run `scenario` on a started engine and the fake it talks to; no region may be left afterwards."""

    async def run() -> None:
        async with fake_triton(models) as fake:
            engine = TritonEngine(models, fake.url, share, inflight_bytes, Telemetry())
            await engine.start()
            try:
                await scenario(fake, engine)
            finally:
                await engine.close()
            assert own_regions() == []
            assert not fake.regions

    asyncio.run(run())


def own_regions() -> list[str]:
    return [path.name for path in FOLDER.glob(f"{PREFIX}{os.getpid()}-*")]


def tiles(items: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 256, (items, 64, 64, 3), np.uint8) for name in ("pre", "post")}


def pair(engine: TritonEngine) -> Model:
    return choose(engine, "damage", "pair")


async def ask(engine: TritonEngine, model: Model, items: int = 1, seed: int = 0, seconds: float = 30) -> None:
    """Send a request and check its answer."""
    inputs = tiles(items, seed)
    answer = await engine.infer(model, inputs, ["label_map"], Timeline(seconds))
    np.testing.assert_array_equal(answer["label_map"], label_table(5)[inputs["post"][..., 1]])


async def until(condition: Callable[[], Any]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about in 20 seconds")


def ready(engine: TritonEngine) -> bool:
    return all(status.state == "ready" for status in engine.statuses())


def reason(engine: TritonEngine) -> str:
    (status,) = engine.statuses()
    (version,) = status.versions
    return version.reason
