"""`GET /v1/progress/{request_id}`: how far a running request is, to its caller alone."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from tests.support.app_client import AppClient
from tests.support.cts import series
from tests.support.pictures import encode, noise

Asked = list[httpx.Response]


def run_and_ask(
    client: AppClient, monkeypatch: pytest.MonkeyPatch, path: str, files: dict[str, bytes], **headers: str
) -> tuple[httpx.Response, Asked]:
    """Return the answer to a request of the id ``mine``, and what was said of it before each of its batches."""
    engine, said = client.services.engine, []
    infer = engine.infer

    async def asking(*arguments: Any) -> Any:
        said.append(await client._request("GET", "/v1/progress/mine", {"headers": headers}))
        return await infer(*arguments)

    monkeypatch.setattr(engine, "infer", asking)
    answer = client.post(path, files=files, headers={"X-Request-ID": "mine", **headers})
    assert answer.status_code == 200, answer.text
    return answer, said


def test_slices_are_counted_while_a_ct_runs(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, said = run_and_ask(client, monkeypatch, "/v1/ct", {"image": series(count=30)})
    assert answer.headers["X-Request-ID"] == "mine"
    steps = [one.json() for one in said]
    # Those that are inferred while it arrives are counted before their number is known.
    assert {step["total"] for step in steps} <= {None, 30}
    assert steps[-1]["total"] == 30
    assert {step["stage"] for step in steps} <= {"receive", "queue", "decode", "infer", "finish"}
    done = [step["done"] for step in steps]
    assert done == sorted(done)
    assert done[0] == 0 < done[-1] < 30
    assert {one.headers["Cache-Control"] for one in said} == {"private, no-store"}
    ended = client.get("/v1/progress/mine")
    assert (ended.status_code, ended.json()["code"]) == (404, "request-not-found")


def test_tiles_are_counted_where_an_image_has_many(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    image = encode(noise(200, 150))
    _, said = run_and_ask(client, monkeypatch, "/v1/damage", {"pre": image, "post": image})
    steps = [one.json() for one in said]
    rows = len(steps)
    (total,) = {step["total"] for step in steps}
    assert total % rows == 0
    assert {step["done"] for step in steps} <= {row * total // rows for row in range(rows)}
    assert max(step["done"] for step in steps) > 0


def test_before_the_work_is_known_there_is_no_total(start: Any) -> None:
    client = start(work={"threads": 1})
    turns = client.services.admission.queue.turns

    async def scenario() -> dict[str, Any]:
        await turns.take("bulk")
        options = {"files": {"image": series()}, "headers": {"X-Request-ID": "mine"}}
        waiting = asyncio.create_task(client._request("POST", "/v1/ct", options))
        said: dict[str, Any] = {}
        while said.get("stage") != "queue":
            await asyncio.sleep(0.01)
            said = (await client._request("GET", "/v1/progress/mine", {})).json()
        turns.give_back()
        assert (await waiting).status_code == 200
        return said

    assert client.run(scenario) == {"stage": "queue", "done": 0, "total": None}


def test_nobody_sees_how_far_another_is(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {tenant: f"sha256:{hashlib.sha256(tenant.encode()).hexdigest()}" for tenant in ("one", "two")}
    client = start(auth={"keys": keys})
    said: dict[str, list[int]] = {"one": [], "two": []}
    engine = client.services.engine
    infer = engine.infer

    async def asking(*arguments: Any) -> Any:
        for tenant, statuses in said.items():
            answer = await client._request("GET", "/v1/progress/mine", {"headers": {"X-API-Key": tenant}})
            statuses.append(answer.status_code)
        return await infer(*arguments)

    monkeypatch.setattr(engine, "infer", asking)
    headers = {"X-API-Key": "one", "X-Request-ID": "mine"}
    assert client.post("/v1/ct", files={"image": series()}, headers=headers).status_code == 200
    assert (set(said["one"]), set(said["two"])) == ({200}, {404})
    assert client.get("/v1/progress/mine").status_code == 401
