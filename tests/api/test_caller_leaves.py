"""A caller who hangs up stops costing, at every stage."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.media.geo.geotiff import GeoTiff
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


@pytest.mark.parametrize(
    ("stage", "function"),
    [
        ("decode", "gateway.http.request_path.decode"),
        ("finish", "gateway.inference.segmenter.decide"),
        ("encode", "gateway.tasks.damage.route.encode_label_map"),
    ],
)
def test_while_a_thread_is_at_work(start: Any, monkeypatch: pytest.MonkeyPatch, stage: str, function: str) -> None:
    """The thread cannot be stopped; what the request held is given back all the same, and the turn with it."""
    client = start(work={"threads": 2, "turns": 1})
    running, leave = threading.Event(), threading.Event()

    def endless(*_: object) -> None:
        running.set()
        leave.wait(10)

    monkeypatch.setattr(function, endless)
    scope, body = scope_and_body()
    converse(client, whole_then_gone(body, lambda: asyncio.to_thread(running.wait, 10)), scope)
    monkeypatch.undo()
    assert client.sample("maskgate_cancelled_total", stage=stage) == 1
    assert client.services.admission.queue.turns.free == 1
    leave.set()
    assert_nothing_is_held(client)


def test_while_the_answer_is_sent(start: Any) -> None:
    client = start(work={"threads": 2, "turns": 1})
    scope, body = scope_and_body()
    sending, held = asyncio.Event(), list[float]()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sending.set()
            await asyncio.Event().wait()

    async def begun() -> None:
        await sending.wait()
        held.extend(client.sample(f"maskgate_inflight_{what}") for what in ("requests", "bytes"))
        # Others have their turn meanwhile.
        assert client.services.admission.queue.turns.free == 1

    converse(client, whole_then_gone(body, begun), scope, send)
    # The answer is held, the images and what was made of them are not.
    assert held[0] == 1
    assert 0 < held[1] < len(GOOD)
    assert client.sample("maskgate_cancelled_total", stage="send") == 1
    assert client.sample("maskgate_http_requests_total", route="/v1/damage", method="POST", status_class="2xx") == 1
    assert_nothing_is_held(client)


def test_an_answer_is_held_until_all_of_it_was_taken(start: Any) -> None:
    """A server buffers what it is given; that it was taken shows when it takes more."""
    client = start()
    scope, body = scope_and_body()
    sent: list[tuple[int, bool, float]] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            taken = len(message["body"]), message.get("more_body", False)
            sent.append((*taken, client.sample("maskgate_inflight_bytes")))

    converse(client, whole_then_gone(body, asyncio.Event().wait), scope, send)
    (first, more, held), (last, more_still, held_still) = sent
    assert (more, last, more_still) == (True, 0, False)
    assert held == held_still == first > 0
    assert client.sample("maskgate_cancelled_total", stage="send") == 0
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
