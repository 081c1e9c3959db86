"""A caller who hangs up stops costing, at every stage."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.media.geotiff import GeoTiff
from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.leaving import Message, converse, scope_of, whole_then_gone
from tests.support.pictures import encode, noise

GOOD = encode(noise(96, 96))


def scope_and_body() -> tuple[dict[str, Any], bytes]:
    request = httpx.Request("POST", "http://gateway/v1/damage", files={"pre": GOOD, "post": GOOD})
    return scope_of(request), request.read()


def assert_nothing_is_held(client: AppClient) -> None:
    assert client.sample("maskgate_inflight_requests") == 0
    assert client.sample("maskgate_inflight_bytes") == 0
    assert client.post("/v1/damage", files={"pre": GOOD, "post": GOOD}).status_code == 200


def test_during_the_upload(start: Any) -> None:
    client = start()
    scope, body = scope_and_body()
    incoming: Iterator[Message] = iter(
        [{"type": "http.request", "body": body[:500], "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(incoming)

    converse(client, receive, scope)
    assert client.sample("maskgate_cancelled_total", stage="receive") == 1
    assert_nothing_is_held(client)


def test_while_the_model_runs(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(work={"threads": 1})
    engine = client.services.engine
    running, stopped = asyncio.Event(), []

    async def endless(*_: object) -> dict[str, Any]:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(True)
            raise
        return {}

    scope, body = scope_and_body()
    monkeypatch.setattr(engine, "infer", endless)
    converse(client, whole_then_gone(body, running.wait), scope)
    monkeypatch.undo()
    assert stopped
    assert client.sample("maskgate_cancelled_total", stage="infer") == 1
    assert_nothing_is_held(client)


def test_while_a_scene_is_mapped(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are open in GDAL then, which have to be closed, and by nobody's thread read any more."""
    client = start(work={"threads": 2})
    tiff = write(noise(400, 300), grid(300, 400))
    request = httpx.Request("POST", "http://gateway/v1/damage", files={"pre": tiff, "post": tiff})
    running, closed = asyncio.Event(), []

    async def endless(*_: object) -> dict[str, Any]:
        running.set()
        await asyncio.Event().wait()
        return {}

    close = GeoTiff.close

    def counting(tiff: GeoTiff) -> None:
        closed.append(tiff)
        close(tiff)

    monkeypatch.setattr(GeoTiff, "close", counting)
    monkeypatch.setattr(client.services.engine, "infer", endless)
    converse(client, whole_then_gone(request.read(), running.wait), scope_of(request))
    monkeypatch.undo()
    assert len(closed) == 2
    # The next band may be on its way from the files while the model is at work: whichever began last is counted.
    stages = ("decode", "infer", "finish")
    assert sum(client.sample("maskgate_cancelled_total", stage=stage) for stage in stages) == 1
    assert_nothing_is_held(client)


def test_while_waiting_for_a_turn(start: Any) -> None:
    client = start(work={"threads": 1})
    turns = client.services.admission.queue.turns
    scope, body = scope_and_body()

    async def hold() -> None:
        await turns.take("bulk")

    async def release() -> None:
        turns.give_back()

    client.run(hold)
    converse(client, whole_then_gone(body, lambda: asyncio.sleep(0.05)), scope)
    client.run(release)
    assert client.sample("maskgate_cancelled_total", stage="queue") == 1
    assert_nothing_is_held(client)
