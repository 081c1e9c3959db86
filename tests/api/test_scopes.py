"""What keys open, how often, and what is written of it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway import cli
from gateway.access.keys import Tenants, costs, digest_of, scope_needed
from gateway.settings import AuthSettings, Settings
from tests.support.app_client import AppClient
from tests.support.leaving import converse, scope_of
from tests.support.pictures import encode, noise

GOOD = encode(noise(96, 96))
PAIR = {"pre": GOOD, "post": GOOD}
TASKS = ("damage", "land", "restore", "ct", "radiograph", "waste", "interactive")
KEYS = {
    "all": digest_of("all"),
    "reader": {"digest": digest_of("reader"), "scopes": []},
    "operator": {"digest": digest_of("operator"), "scopes": ["admin"]},
    **{task: {"digest": digest_of(task), "scopes": [task]} for task in (*TASKS, "infer")},
}


def auth(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


@pytest.fixture(scope="module")
def guarded(start_session: Any) -> AppClient:
    client: AppClient = start_session(auth={"keys": KEYS})
    return client


def api_routes(client: AppClient) -> list[tuple[str, str]]:
    """Return method and path of every route under /v1 and /v2, parameters filled in."""
    found = [
        (method, re.sub(r"\{[^}]+\}", "x", route.path))
        for route in every_route(client.app.routes)
        if f"{route.path}/".startswith(("/v1/", "/v2/"))
        for method in sorted(route.methods)
    ]
    assert len(found) > 20
    return found


def every_route(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield what has a path of its own, out of included routers too."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from every_route(route.original_router.routes)
        else:
            yield route


def needed(method: str, path: str) -> str | None:
    return scope_needed(method, path, TASKS)


def test_no_route_is_forgotten(guarded: AppClient) -> None:
    assert [route for route in api_routes(guarded) if needed(*route) is None] == []


def test_whatever_changes_or_computes_needs_a_scope(guarded: AppClient) -> None:
    assert [r for r in api_routes(guarded) if r[0] != "GET" and not costs(needed(*r))] == []
    assert {path for method, path in api_routes(guarded) if needed(method, path) == "admin"} == {
        "/v1/repository/refresh",
        "/v2/repository/index",
        "/v2/repository/models/x/load",
        "/v2/repository/models/x/unload",
    }


def test_a_key_without_scopes_opens_every_route_and_one_with_none_of_them_reads_alone(guarded: AppClient) -> None:
    for method, path in api_routes(guarded):
        forbidden = guarded.request(method, path, headers=auth("reader")).status_code == 403
        assert forbidden == costs(needed(method, path)), path
        assert guarded.request(method, path, headers=auth("all")).status_code not in (401, 403)


@pytest.mark.parametrize("task", TASKS)
def test_a_scope_opens_its_task_alone(guarded: AppClient, task: str) -> None:
    for other in TASKS:
        answer = guarded.post(f"/v1/{other}", headers=auth(task))
        assert (answer.status_code == 403) == (other != task)
    refused = guarded.post("/v2/models/trivial/infer", headers=auth(task))
    assert (refused.status_code, refused.json()["scope"], refused.json()["code"]) == (403, "infer", "forbidden")
    assert "infer" in refused.json()["error"]
    assert guarded.get("/v2/models/trivial", headers=auth(task)).status_code == 200
    assert guarded.get("/v1/models", headers=auth(task)).status_code == 200
    assert guarded.get("/v2/health/live", headers=auth(task)).status_code == 200
    assert guarded.get("/v1/progress/none", headers=auth(task)).json()["code"] == "request-not-found"


def test_refreshing_needs_admin(guarded: AppClient) -> None:
    assert guarded.post("/v1/repository/refresh", headers=auth("damage")).json()["scope"] == "admin"
    assert guarded.post("/v1/repository/refresh", headers=auth("operator")).status_code == 200
    assert guarded.post("/v2/repository/index", headers=auth("infer")).json()["scope"] == "admin"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1//damage", "/v2/logging", "/v2/cudasharedmemory"])
def test_what_the_table_does_not_know_is_closed_to_keys_with_scopes(guarded: AppClient, path: str) -> None:
    answer = guarded.post(path, headers=auth("damage"))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert guarded.post(path, headers=auth("all")).status_code in (307, 404, 405)


def test_a_pair_is_answered_and_a_refused_one_not_read(guarded: AppClient) -> None:
    assert guarded.post("/v1/damage", files=PAIR, headers=auth("damage")).status_code == 200
    before = guarded.sample("maskgate_rejected_total", reason="forbidden")
    assert guarded.post("/v1/damage", files=PAIR, headers=auth("ct")).status_code == 403
    assert guarded.sample("maskgate_rejected_total", reason="forbidden") == before + 1
    assert guarded.sample("maskgate_request_body_bytes_count", route="unmatched") == 0


def test_a_minute_of_requests_and_no_more(start: Any) -> None:
    limits = {"digest": digest_of("two"), "requests_per_minute": 2}
    client = start(auth={"keys": {"two": limits, "free": digest_of("free")}})
    first = client.post("/v1/damage", files=PAIR, headers=auth("two"))
    assert first.headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert re.fullmatch(r'"requests";r=1;t=\d+', first.headers["RateLimit"])
    assert client.post("/v1/damage", headers=auth("two")).status_code == 415
    refused = client.post("/v1/damage", files=PAIR, headers=auth("two"))
    assert (refused.status_code, refused.json()["code"]) == (429, "quota-exceeded")
    assert refused.json()["violated-policies"] == ["requests"]
    assert refused.json()["limit"] == 2
    assert refused.json()["retryable"]
    assert refused.headers["RateLimit"] == f'"requests";r=0;t={refused.headers["Retry-After"]}'
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert client.sample("maskgate_request_body_bytes_count", route="unmatched") == 0
    assert client.get("/v1/models", headers=auth("two")).status_code == 200
    answer = client.post("/v1/damage", files=PAIR, headers=auth("free"))
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers


def test_what_the_gateway_has_no_room_for_counts_for_nothing(start: Any) -> None:
    client = start(auth={"keys": {"one": {"digest": digest_of("one"), "requests_per_minute": 1}}})
    client.services.admission.closed = True
    for _ in range(3):
        assert client.post("/v1/damage", files=PAIR, headers=auth("one")).status_code == 503
    client.services.admission.closed = False
    assert client.post("/v1/damage", files=PAIR, headers=auth("one")).status_code == 200
    assert client.post("/v1/damage", files=PAIR, headers=auth("one")).status_code == 429


def test_requests_under_way_are_bounded_until_their_answers_are_sent(start: Any) -> None:
    client = start(auth={"keys": {"one": {"digest": digest_of("one"), "inflight": 1}}})
    request = client.build("POST", "/v1/damage", files=PAIR, headers=auth("one"))
    body, sending, taken = request.read(), asyncio.Event(), asyncio.Event()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sending.set()
            await taken.wait()

    async def slow_reader() -> asyncio.Task[None]:
        task = asyncio.create_task(client.app(scope_of(request), receive, send))
        await sending.wait()
        return task

    async def read_on(task: asyncio.Task[None]) -> None:
        taken.set()
        await task

    slow = client.run(slow_reader)
    refused = client.post("/v1/damage", files=PAIR, headers=auth("one"))
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["inflight"])
    assert int(refused.headers["Retry-After"]) >= 1
    client.run(read_on, slow)
    answer = client.post("/v1/damage", files=PAIR, headers=auth("one"))
    assert answer.status_code == 200
    assert answer.headers["RateLimit-Policy"] == '"inflight";q=1;qu="concurrent-requests"'


def written(caplog: pytest.LogCaptureFixture) -> str:
    """Return what the gateway wrote; its client's lines are in `caplog` too."""
    return "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("gateway"))


def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.name == "gateway.audit"]  # type: ignore[attr-defined]


def test_each_task_request_has_its_line(guarded: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    files = {"pre": ("Jane-Doe.png", GOOD), "post": ("Jane-Doe.png", GOOD)}
    with caplog.at_level(logging.INFO):
        headers = auth("damage") | {"X-Request-ID": "r-1"}
        answer = guarded.post("/v1/damage?model=pre-only", files=files, headers=headers)
        guarded.get("/v1/models", headers=auth("damage"))
    (line,) = audited(caplog)
    assert line.pop("seconds") > 0
    assert line.pop("bytes_in") > 2 * len(GOOD)
    assert line == {
        "request_id": "r-1",
        "tenant": "damage",
        "scope": "damage",
        "method": "POST",
        "route": "/v1/damage",
        "model": "pre-only",
        "status": 200,
        "bytes_out": len(answer.content),
    }
    assert "tenant=damage scope=damage method=POST route=/v1/damage model=pre-only status=200" in written(caplog)
    assert "Jane" not in written(caplog)


def test_refused_keys_have_a_line_without_the_key(guarded: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        guarded.post("/v1/ct?model=Jane-Doe", headers=auth("hunter2"))
        guarded.get("/v1/models/Jane-Doe", headers=auth("hunter2"))
        guarded.post("/v1/ct?model=trivial", headers=auth("damage"))
        guarded.post("/v1/Jane-Doe", headers=auth("damage"))
    lines = audited(caplog)
    assert [(x.get("tenant"), x.get("scope"), x.get("model"), x["status"], x["reason"]) for x in lines] == [
        (None, "ct", None, 401, "unauthorised"),
        (None, "any", None, 401, "unauthorised"),
        ("damage", "ct", "trivial", 403, "forbidden"),
        ("damage", None, None, 403, "forbidden"),
    ]
    assert {x["route"] for x in lines} == {"unmatched"}
    assert "hunter2" not in written(caplog)
    assert "Jane" not in written(caplog)


def test_a_caller_who_left_is_in_the_log(guarded: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    request = guarded.build("POST", "/v1/damage", files=PAIR, headers=auth("damage"))

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with caplog.at_level(logging.INFO):
        converse(guarded, gone, scope_of(request))
    assert [(x["status"], x["bytes_in"]) for x in audited(caplog)] == [(499, 0)]


def test_access_lines_carry_their_fields(guarded: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        guarded.get("/v1/models", headers=auth("all") | {"X-Request-ID": "r-2"})
    (line,) = (record.fields for record in caplog.records if record.name == "gateway.access")  # type: ignore[attr-defined]
    assert line.pop("seconds") > 0
    assert line == {"request_id": "r-2", "method": "GET", "route": "/v1/models", "status": 200}


@pytest.mark.parametrize(
    "keys",
    [
        {"one": {"scopes": ["ct"]}},
        {"one": {"digest": []}},
        {"one": {"digest": "sha256:0"}},
        {"one": {"digest": [digest_of("a"), digest_of("a")]}},
        {"one": digest_of("a"), "two": {"digest": [digest_of("b"), digest_of("a")]}},
        {"one": {"digest": digest_of("a"), "requests_per_minute": 0}},
        {"one": {"digest": digest_of("a"), "inflight": -1}},
        {"one": {"digest": digest_of("a"), "colour": "red"}},
        {"one": [digest_of("a")]},
        {"a b": digest_of("a")},
        {'a"b': digest_of("a")},
        {"a\n": digest_of("a")},
        {"": digest_of("a")},
        {"x" * 65: digest_of("a")},
    ],
)
def test_settings_that_are_none_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AuthSettings.model_validate({"keys": keys})


def test_a_scope_that_is_none_is_refused_by_name() -> None:
    keys = {"one": {"digest": digest_of("a"), "scopes": ["ct", "everything"]}}
    with pytest.raises(
        ValidationError, match=r"auth\.keys\.one: there is no scope 'everything'; there are admin, ct, d"
    ):
        Settings.model_validate({"auth": {"keys": keys}})


def test_keys_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"one": digest_of("a"), "two": {"digest": digest_of("b"), "scopes": ["ct"]}}))
    monkeypatch.setenv("MASKGATE_AUTH_KEYS_FILE", str(path))
    settings = Settings()
    assert settings.auth.by_tenant()["two"].scopes == frozenset({"ct"})
    printed = settings.model_dump_json()
    assert digest_of("a") not in printed
    assert digest_of("b") not in printed
    monkeypatch.setenv("MASKGATE_AUTH_KEYS", json.dumps({"three": digest_of("c")}))
    with pytest.raises(ValidationError, match="exclude each other"):
        Settings()


def test_a_new_key_is_shown_once_with_the_setting_that_lets_it_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["key", "--tenant", "radiology"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["digest"] == digest_of(shown["key"])
    name, _, value = shown["setting"].partition("=")
    monkeypatch.setenv(name, value.strip("'"))
    assert Tenants(Settings().auth.by_tenant()).of(shown["key"]).tenant == "radiology"


def test_a_key_is_made_for_no_tenant_that_settings_would_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["key", "--tenant", "Jane Doe"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "keys" in captured.err


def test_settings_are_printed_without_their_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKGATE_AUTH_KEYS", json.dumps(KEYS))
    assert cli.main(["settings"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["auth"]["keys"]["reader"]["scopes"] == []
    assert "sha256:" not in printed


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"one": "secret"}'])
def test_a_file_that_holds_no_keys_never_opens_the_gateway(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValidationError) as refused:
        AuthSettings.model_validate({"keys_file": path})
    assert "secret" not in str(refused.value.errors(include_input=False))
