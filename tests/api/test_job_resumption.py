"""An item of a job that was broken off goes on: what models had answered is not asked of them again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.app import create_app
from gateway.engines.base import Model, Tensors
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.jobs import journal
from gateway.scheduling.timeline import Timeline
from gateway.settings import Settings
from tests.support.app_client import running
from tests.support.geotiffs import grid, write
from tests.support.jobs import ended, standing, upload

HEIGHT, WIDTH = 480, 320
JSON = {"Accept": "application/json"}


def scene() -> bytes:
    pixels = np.random.default_rng(3).integers(1, 33, (HEIGHT, WIDTH, 3), np.uint8)
    pixels[30:200, 40:90, 1] = 120
    pixels[190:330, 150:260, 1] = 250
    return write(pixels, grid(WIDTH, HEIGHT))


def test_an_item_goes_on_where_its_process_left_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "AFTER_SECONDS", 0.0)
    inferring = EmbeddedEngine.infer
    calls: list[int] = []
    most = [10]

    async def infer(
        self: EmbeddedEngine, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline
    ) -> Tensors:
        if len(calls) == most[0]:
            await asyncio.Event().wait()
        calls.append(len(next(iter(inputs.values()))))
        return await inferring(self, model, inputs, outputs, timeline)

    monkeypatch.setattr(EmbeddedEngine, "infer", infer)
    models = {"repository": repository, "damage": "trivial"}
    settings = Settings(models=models, jobs={"folder": tmp_path, "at_once": 1})
    with running(create_app(settings)) as first:
        sent = upload(first, scene())
        parts = {name: {"upload": sent} for name in ("pre", "post")}
        body = {"task": "damage", "accept": "application/json", "items": [{"parts": parts}]}
        left = first.post("/v1/jobs", json=body)

        async def stopped() -> None:
            while len(calls) < most[0]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)

        first.run(stopped)
        progress: Any = standing(first, left)["items"][0]["progress"]
        assert 0 < progress["done"] < progress["total"], "by tiles, within the item"
    assert [path.stat().st_size > 0 for path in (tmp_path / "journals").iterdir()] == [True]
    answered, most[0] = sum(calls), -1
    calls.clear()
    with running(create_app(settings)) as second:
        job = ended(second, left)
        assert (job["items"][0]["state"], job["items"][0]["tries"]) == ("done", 1), "a process that leaves is no try"
        again = sum(calls)
        calls.clear()
        online = second.post("/v1/damage", files={name: scene() for name in ("pre", "post")}, headers=JSON).json()
        assert again == sum(calls) - answered, "each tile is asked once, in both processes together"
        assert second.get(job["items"][0]["result"]["url"]).json() == online
        assert list((tmp_path / "journals").iterdir()) == []
