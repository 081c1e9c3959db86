"""What goes wrong with a session is said, and costs none of what it holds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.app_client import AppClient
from tests.support.leaving import converse, scope_of, whole_then_gone
from tests.support.pictures import encode
from tests.support.sessions import BOX, IMAGE, SESSIONS, SQUARE, begin, begun, click, mask
from tests.support.trivial import remove_version
from tests.support.trivial_interactive import write_interactive_version, write_trivial_interactive


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def pointer(answer: httpx.Response) -> str | None:
    errors = answer.json().get("errors")
    return errors[0]["pointer"] if errors else None


@pytest.mark.parametrize(
    ("body", "expected", "where"),
    [
        (b"", (400, "bad-request"), None),
        (b"{", (400, "bad-request"), None),
        (b"[]", (422, "prompt-invalid"), None),
        (b"{}", (422, "prompt-invalid"), None),
        (b'{"object": "new"}', (422, "prompt-invalid"), None),
        (b'{"positive": [[NaN, 3]]}', (422, "prompt-invalid"), "/positive/0"),
        (b'{"positive": [[1e999, 3]]}', (422, "prompt-invalid"), "/positive/0"),
        (b'{"positive": [[1]]}', (422, "prompt-invalid"), "/positive/0"),
        (b'{"positive": [["1", 2]]}', (422, "prompt-invalid"), "/positive/0/0"),
        (b'{"positive": [[1, 1], [162, 3]]}', (422, "click-outside"), "/positive/1"),
        (b'{"box": [9, 9, 9, 20]}', (422, "prompt-invalid"), "/box"),
        (b'{"box": [9, 9, 20]}', (422, "prompt-invalid"), "/box"),
        (b'{"objects": []}', (422, "prompt-invalid"), None),
        (b'{"clicks": []}', (422, "prompt-invalid"), None),
        (b'{"positive": [[1, 1]], "object": 2}', (422, "prompt-invalid"), "/object"),
        (b'{"positive": [[1, 1]], "object": 0}', (422, "prompt-invalid"), "/object"),
        (b'{"positive": [[1, 1]], "object": "old"}', (422, "prompt-invalid"), "/object"),
        (b'{"negative": [[1, 1]], "object": "new"}', (422, "prompt-unsuitable"), "/box"),
        (b'{"extreme": [[1, 1], [9, 9], [1, 9], [9, 1]]}', (422, "prompt-unsuitable"), "/extreme"),
        (json.dumps({"positive": [[5, 5]] * 10_000}).encode(), (413, "prompt-too-large"), None),
        (json.dumps({"positive": [[5, 5]] * 998}).encode(), (413, "prompt-too-large"), None),
        (b" " * (1024 * 1024 + 1), (413, "body-too-large"), None),
    ],
)
def test_a_click_that_means_nothing_changes_nothing(
    client: AppClient, body: bytes, expected: tuple[int, str], where: str | None
) -> None:
    session = begun(client, prompt=BOX)
    before = client.get(session).json()
    answer = client.post(f"{session}/clicks", content=body)
    assert code(answer) == expected
    assert pointer(answer) == where
    after = client.get(session).json()
    assert {k: v for k, v in after.items() if k != "expires"} == {k: v for k, v in before.items() if k != "expires"}
    mask(click(client, session, {"negative": [[60, 40]]}))


def test_an_object_may_have_so_many_points_in_all(client: AppClient) -> None:
    session = begun(client, prompt=BOX)
    mask(click(client, session, {"negative": [[5, 5]] * 900}))
    mask(click(client, session, {"negative": [[5, 5]] * 97}))
    answer = click(client, session, {"negative": [[5, 5]]})
    assert (*code(answer), answer.json()["limit"]) == (413, "prompt-too-large", 1000)


def test_a_session_may_have_so_many_clicks(start: Any) -> None:
    client = start(sessions={"clicks": 2})
    session = begun(client, prompt=BOX)
    mask(click(client, session, BOX))
    answer = click(client, session, BOX)
    assert (*code(answer), answer.json()["limit"]) == (413, "prompt-too-large", 2)
    mask(client.delete(f"{session}/clicks/last"))
    mask(click(client, session, BOX))


def test_a_session_may_have_so_many_objects(start: Any) -> None:
    client = start(limits={"prompt_objects": 2})
    session = begun(client, "?model=polygon", {"objects": [SQUARE, SQUARE]})
    answer = click(client, session, SQUARE | {"object": "new"})
    assert (*code(answer), answer.json()["limit"]) == (413, "prompt-too-large", 2)
    assert pointer(answer) == "/object"


@pytest.mark.parametrize(
    ("files", "query", "expected"),
    [
        ({}, "", (415, "unsupported-media")),
        ({"prompt": b"{}"}, "", (400, "part-problem")),
        ({"image": IMAGE, "post": IMAGE}, "", (400, "part-problem")),
        ({"image": b"GIF89a"}, "", (415, "unsupported-media")),
        ({"image": IMAGE[:500]}, "", (422, "image-unreadable")),
        ({"image": IMAGE, "prompt": b"{"}, "", (400, "bad-request")),
        ({"image": IMAGE, "prompt": b"{}"}, "", (422, "prompt-invalid")),
        ({"image": IMAGE, "prompt": json.dumps(SQUARE).encode()}, "", (422, "prompt-unsuitable")),
        ({"image": IMAGE}, "?model=none", (404, "model-not-found")),
        ({"image": IMAGE}, "?model=click-lite0-encoder", (404, "model-not-found")),
        ({"image": IMAGE}, "?version=7", (404, "version-not-found")),
        ({"image": IMAGE}, "?model=polygon&threshold=0.5", (422, "parameter-invalid")),
        ({"image": IMAGE}, "?threshold=1.5", (422, "parameter-invalid")),
    ],
)
def test_what_begins_no_session_leaves_none(
    client: AppClient, files: dict[str, bytes], query: str, expected: tuple[int, str]
) -> None:
    held = client.sample("maskgate_session_cache_bytes")
    assert code(client.post(f"{SESSIONS}{query}", files=files)) == expected
    assert client.sample("maskgate_session_cache_bytes") == held


@pytest.mark.parametrize("name", ["a" * 32, "short", "%0A" * 32, "%C3%BC" * 32])
def test_no_such_session(client: AppClient, name: str) -> None:
    address = f"{SESSIONS}/{name}"
    for answer in (client.get(address), client.get(f"{address}/mask"), click(client, address, BOX)):
        assert code(answer) == (404, "session-not-found")


def test_an_ended_session_is_gone(client: AppClient) -> None:
    session = begun(client, prompt=BOX)
    ended = client.delete(session)
    assert (ended.status_code, ended.content) == (204, b"")
    for answer in (
        client.get(session),
        client.get(f"{session}/mask"),
        click(client, session, BOX),
        client.delete(f"{session}/clicks/last"),
        client.delete(f"{session}/clicks"),
        client.delete(session),
    ):
        assert code(answer) == (404, "session-not-found")


def test_an_expired_session_is_gone_with_its_pixels(start: Any) -> None:
    client = start(sessions={"idle_seconds": 0.2})
    session = begun(client)
    time.sleep(0.4)
    assert client.sample("maskgate_session_cache_bytes") == 0
    assert code(click(client, session, BOX)) == (404, "session-not-found")


def test_a_foreign_session_is_no_session(start: Any) -> None:
    keys = {name: f"sha256:{hashlib.sha256(name.encode()).hexdigest()}" for name in ("one", "two")}
    client = start(auth={"keys": keys})
    one, two = ({"X-API-Key": name} for name in ("one", "two"))
    session = begun(client, prompt=BOX, headers=one)
    unknown = f"{SESSIONS}/{'a' * 32}"

    def said(address: str) -> list[tuple[int, Any]]:
        answers = [
            client.get(address, headers=two),
            client.get(f"{address}/mask", headers=two),
            click(client, address, BOX, headers=two),
            client.delete(f"{address}/clicks/last", headers=two),
            client.delete(f"{address}/clicks", headers=two),
            client.delete(address, headers=two),
        ]
        return [
            (a.status_code, {k: v for k, v in a.json().items() if k not in ("instance", "request_id")}) for a in answers
        ]

    assert said(session) == said(unknown)
    assert {status for status, _ in said(session)} == {404}
    assert client.get(session).status_code == 401
    assert client.get(session, headers=one).json()["objects"] == [BOX]
    encoded = client.sample("maskgate_tiles_total", model="click-lite0-encoder")
    begun(client, prompt=BOX, headers=two)
    assert client.sample("maskgate_tiles_total", model="click-lite0-encoder") == encoded + 1, "no shared features"


def test_of_clicks_at_once_one_is_kept_and_the_others_are_told(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals = 4
    client = start(work={"turns": rivals})
    session = begun(client, prompt=BOX)
    engine = client.services.engine
    infer, there = engine.infer, threading.Event()

    async def when_all_are_there(*arguments: Any) -> Any:
        await asyncio.to_thread(there.wait, 30)
        return await infer(*arguments)

    monkeypatch.setattr(engine, "infer", when_all_are_there)
    with ThreadPoolExecutor(rivals) as pool:
        answering = pool.map(lambda n: click(client, session, {"positive": [[90, 60 + n]]}), range(rivals))
        deadline = time.monotonic() + 20
        while client.sample("maskgate_inflight_requests") < rivals:
            assert time.monotonic() < deadline
        there.set()
        answers = list(answering)
    monkeypatch.undo()
    winners = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert len(winners) == 1
    for n, answer in enumerate(answers):
        if n not in winners:
            assert code(answer) == (409, "session-changed")
            assert answer.json()["retryable"] is True
    state = client.get(session).json()
    assert (state["revision"], state["clicks"]) == (2, 2)
    assert state["objects"][0]["positive"] == [[80, 60], [90, 60 + winners[0]]]


def test_a_caller_who_leaves_changes_nothing(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start()
    session = begun(client, prompt=BOX)
    held = client.sample("maskgate_session_cache_bytes")
    engine, running = client.services.engine, asyncio.Event()

    async def endless(*_: object) -> dict[str, Any]:
        running.set()
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(engine, "infer", endless)
    add = httpx.Request("POST", f"http://gateway{session}/clicks", json={"positive": [[90, 60]]})
    converse(client, whole_then_gone(add.read(), running.wait), scope_of(add))
    running.clear()
    other = np.full((100, 100, 3), 7, np.uint8)
    files = {
        "image": encode(other),
        "prompt": json.dumps(BOX | {"box": [9, 9, 60, 60], "positive": [[30, 30]]}).encode(),
    }
    new = httpx.Request("POST", f"http://gateway{SESSIONS}", files=files)
    converse(client, whole_then_gone(new.read(), running.wait), scope_of(new))
    monkeypatch.undo()
    assert client.sample("maskgate_cancelled_total", stage="infer") == 2
    assert client.sample("maskgate_inflight_bytes") == 0
    assert client.sample("maskgate_session_cache_bytes") == held, "the session that nobody was told of ended"
    assert client.get(session).json()["revision"] == 1
    mask(click(client, session, {"positive": [[90, 60]]}))


def test_a_session_keeps_the_version_it_began_with_and_says_when_it_is_gone(start: Any, tmp_path: Path) -> None:
    root = write_trivial_interactive(tmp_path)
    client = start(models={"repository": root}, engine={"watch_seconds": 0})
    session = begun(client, prompt=BOX)
    first = mask(client.get(f"{session}/mask"))
    for name in ("click-lite0-encoder", "click-lite0"):
        write_interactive_version(root / name, 2, 10)
    client.post("/v1/repository/refresh")
    assert begin(client).json()["version"] == 2
    again = client.get(f"{session}/mask")
    assert again.headers["Maskgate-Version"] == "1"
    np.testing.assert_array_equal(mask(again), first)
    for name in ("click-lite0", "click-lite0-encoder"):
        remove_version(root / name, 1)
    client.post("/v1/repository/refresh")
    for gone in (client.get(f"{session}/mask"), click(client, session, BOX), client.delete(f"{session}/clicks/last")):
        assert code(gone) == (409, "session-outdated")
        assert gone.json()["retryable"] is False
    assert client.get(session).json()["objects"] == [BOX]
    assert client.delete(session).status_code == 204


def test_a_file_replaced_under_the_same_version_is_another_model(start: Any, tmp_path: Path) -> None:
    root = write_trivial_interactive(tmp_path)
    client = start(models={"repository": root}, engine={"watch_seconds": 0})
    session = begun(client, prompt=BOX)
    write_interactive_version(root / "click-lite0", 1, 10)
    client.post("/v1/repository/refresh")
    assert code(client.get(f"{session}/mask")) == (409, "session-outdated")


def test_nothing_of_a_session_is_logged_or_becomes_a_label(client: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        session = begun(client, prompt=BOX)
        click(client, session, {"positive": [[90, 61.5]]})
        client.delete(session)
    name = session.removeprefix(f"{SESSIONS}/")
    metrics = client.get("/metrics").text
    assert 'route="/v1/interactive/sessions/{session}/clicks"' in metrics
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("gateway"))
    assert "/v1/interactive/sessions/{session}/clicks 200" in logged
    for text in (logged, metrics):
        assert name not in text
        assert "61.5" not in text


def test_of_many_clicks_at_once_one_is_worked_on(start: Any) -> None:
    client = start(work={"threads": 2})
    session = begun(client)
    before = client.sample("maskgate_engine_run_duration_seconds_count", model="click-lite0", version="1")

    async def at_once() -> list[httpx.Response]:
        asked = [client._request("POST", f"{session}/clicks", {"json": BOX}) for _ in range(40)]
        answers: list[httpx.Response] = await asyncio.gather(*asked)
        return answers

    statuses = [answer.status_code for answer in client.run(at_once)]
    assert sorted(statuses) == [200] + [409] * 39
    runs = client.sample("maskgate_engine_run_duration_seconds_count", model="click-lite0", version="1") - before
    before += runs
    client.post(f"{session}/clicks", json={"negative": [[5, 5]]})
    one = client.sample("maskgate_engine_run_duration_seconds_count", model="click-lite0", version="1") - before
    assert 0 < runs <= one + 1
