"""Who is let in, in which lane, and who is told at once that there is no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.access.keys import digest_of
from gateway.scheduling.prices import Kind
from gateway.scheduling.timeline import STAGES
from tests.support.app_client import AppClient
from tests.support.geotiffs import grid, write
from tests.support.leaving import Message, converse, scope_of, whole_then_gone
from tests.support.pictures import encode, noise

GOOD = encode(noise(96, 96))
FILES = {"pre": GOOD, "post": GOOD}
POLYGON = b'{"polygon": [[1, 1], [9, 1], [9, 9]]}'
PRIORITY, DEADLINE = "Maskgate-Priority", "Maskgate-Deadline"
TRIVIAL = Kind("damage", "trivial")


def teach(client: AppClient, kind: Kind, unit: Any, seconds: float) -> None:
    """Make the gateway believe what a unit costs."""
    for _ in range(5):
        client.services.admission.prices.learn(kind, unit, 1, seconds)


def ask(client: AppClient, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/damage", files=FILES, headers=named)


def expect(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    return problem


@pytest.mark.parametrize("lane", ["emergency", "bulk"])
def test_a_lane_is_chosen_by_a_header(client: AppClient, lane: str) -> None:
    before = client.sample("maskgate_queue_wait_seconds_count", lane=lane)
    assert ask(client, Maskgate_Priority=lane).status_code == 200
    assert client.sample("maskgate_queue_wait_seconds_count", lane=lane) == before + 1


@pytest.mark.parametrize("lane", ["Emergency", "high", ""])
def test_no_such_lane(client: AppClient, lane: str) -> None:
    problem = expect(ask(client, Maskgate_Priority=lane), 422, "parameter-invalid")
    assert problem["errors"][0]["pointer"] == f"/{PRIORITY}"


@pytest.mark.parametrize(
    "seconds", ["0", "-1", "1e2", "nan", "inf", "", " 1", "1,5", "600.000001", "0.0", "٣", "9" * 400]
)
def test_no_such_deadline(client: AppClient, seconds: str) -> None:
    problem = expect(
        client.post("/v1/damage", files=FILES, headers={DEADLINE: seconds.encode()}), 422, "parameter-invalid"
    )
    assert problem["errors"][0]["pointer"] == f"/{DEADLINE}"
    assert "600" in problem["detail"]


@pytest.mark.parametrize("seconds", ["600", "600.0", "599.999", "00030"])
def test_deadlines_up_to_the_setting(client: AppClient, seconds: str) -> None:
    assert ask(client, Maskgate_Deadline=seconds).status_code == 200


@pytest.mark.parametrize(("scopes", "status"), [(["damage"], 403), (["damage", "emergency"], 200)])
def test_the_emergency_lane_is_for_those_who_may(start: Any, scopes: list[str], status: int) -> None:
    client = start(auth={"keys": {"one": {"digest": digest_of("key"), "scopes": scopes}}})
    key = {"X-API-Key": "key"}
    urgent, bulk = (
        client.post("/v1/damage", files=FILES, headers={PRIORITY: lane, **key}) for lane in ("emergency", "bulk")
    )
    assert (urgent.status_code, bulk.status_code) == (status, 200)
    if status == 403:
        assert expect(urgent, 403, "forbidden")["scope"] == "emergency"


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as a condition holds."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never did")


def refuse_unread(client: AppClient, *headers: tuple[str, str]) -> list[Message]:
    """Return the answer to a request whose body must not be asked for."""
    scope = scope_of(httpx.Request("POST", "http://gateway/v1/damage", files=FILES, headers=list(headers)))
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    converse(client, receive, scope, send)
    return sent


def test_what_cannot_be_done_in_time_is_refused_before_its_body_is_read(start: Any) -> None:
    client = start()
    teach(client, TRIVIAL, "byte", 1.0)
    begin, body = refuse_unread(client, (DEADLINE, "500"))
    headers = dict(begin["headers"])
    assert begin["status"] == 503
    assert int(headers[b"Retry-After".lower()]) >= 1
    assert b'"code": "would-be-late"' in body["body"]
    assert client.sample("maskgate_rejected_total", reason="would-be-late") == 1
    assert client.sample("maskgate_inflight_requests") == 0
    assert client.sample("maskgate_queued_work_seconds", lane="bulk") == 0
    assert "deadline" in client.get("/problems/would-be-late").json()["meaning"]


def test_a_pair_that_may_be_a_scene_has_a_scenes_time(start: Any) -> None:
    """Before its body is there nobody knows which it is; the pair of pictures is shed when that shows."""
    client = start()
    teach(client, TRIVIAL, "byte", 0.05)
    length = len(httpx.Request("POST", "http://x", files=FILES).read())
    assert 600 < length * 0.05 < 4 * 3600
    answer = ask(client)
    expect(answer, 503, "would-be-late")
    assert client.sample("maskgate_shed_total", lane="bulk") == 1
    tiff = write(noise(96, 96), grid(96, 96))
    assert client.post("/v1/damage", files={"pre": tiff, "post": tiff}).status_code == 200


def test_what_its_headers_show_to_be_too_much_is_shed_before_it_is_decoded(start: Any, decoded: list[None]) -> None:
    client = start()
    teach(client, TRIVIAL, "item", 1.0)
    expect(ask(client, Maskgate_Deadline="600"), 503, "would-be-late")
    assert decoded == []
    assert client.sample("maskgate_shed_total", lane="bulk") == 1
    assert client.services.admission.queue.turns.free == client.services.admission.queue.turns.count


def test_a_full_queue(start: Any) -> None:
    client = start(work={"threads": 1}, limits={"queue_seconds": 3})
    turns = client.services.admission.queue.turns
    teach(client, Kind("ct", "cogseg"), "byte", 1.0)

    async def scenario() -> httpx.Response:
        await turns.take("bulk")
        waiting = asyncio.create_task(client._request("POST", "/v1/damage", {"files": FILES}))
        await until(lambda: turns.waiting("bulk"))
        full: httpx.Response = await client._request("POST", "/v1/damage", {"files": FILES})
        headers = {PRIORITY: "emergency"}
        urgent = await client._request("POST", "/v1/damage", {"files": FILES, "headers": headers})
        assert turns.waiting("bulk") == 1
        turns.give_back()
        assert (urgent.status_code, (await waiting).status_code) == (200, 200)
        return full

    # Some five seconds each: one may wait, and no other behind it.
    teach(client, TRIVIAL, "byte", 5 / len(httpx.Request("POST", "http://x", files=FILES).read()))
    answer = client.run(scenario)
    expect(answer, 503, "queue-full")
    assert answer.headers["Retry-After"] == "2"


def test_who_waits_too_long_is_shed_and_loses_nobody_a_turn(start: Any) -> None:
    client = start(work={"threads": 1})
    turns = client.services.admission.queue.turns

    async def scenario() -> httpx.Response:
        await turns.take("bulk")
        late: httpx.Response = await client._request(
            "POST", "/v1/damage", {"files": FILES, "headers": {DEADLINE: "0.2"}}
        )
        turns.give_back()
        return late

    expect(client.run(scenario), 503, "would-be-late")
    assert ask(client).status_code == 200


def test_prices_are_learnt_from_what_is_served(start: Any) -> None:
    client = start()
    prices = client.services.admission.prices
    length = len(httpx.Request("POST", "http://x", files=FILES).read())
    for _ in range(4):
        ask(client)
    assert prices.predict(TRIVIAL, "byte", length).seconds == 0
    ask(client)
    by_bytes, by_pixels = prices.predict(TRIVIAL, "byte", length), prices.predict(TRIVIAL, "item", 2 * 96 * 96)
    assert 0 < by_bytes.seconds < 1
    assert by_bytes.seconds == pytest.approx(by_pixels.seconds, rel=0.1)


def test_what_overran_is_learnt_from_and_the_next_is_not_begun(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start()
    infer = client.services.engine.infer

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(0.3)
        return await infer(*arguments)

    monkeypatch.setattr(client.services.engine, "infer", slow)
    codes = [ask(client, Maskgate_Deadline="0.2").json()["code"] for _ in range(6)]
    assert codes == ["deadline-exceeded"] * 5 + ["would-be-late"]


@pytest.mark.parametrize(
    ("path", "kind", "files"),
    [
        ("/v1/waste", Kind("waste", "waste-lite0"), {"image": GOOD}),
        ("/v1/interactive?model=polygon", Kind("interactive", "polygon"), {"image": GOOD, "prompt": POLYGON}),
        ("/v1/interactive/sessions?model=polygon", Kind("interactive", "session/begin"), {"image": GOOD}),
        ("/v1/radiograph", Kind("radiograph", "ensemble"), {"image": encode(noise(96, 96)[..., 0])}),
    ],
)  # fmt: skip
def test_every_task_is_priced(start: Any, path: str, kind: Kind, files: dict[str, bytes]) -> None:
    client = start()
    for _ in range(5):
        assert client.post(path, files=files).status_code in (200, 201)
    prices = client.services.admission.prices
    assert prices.predict(kind, "byte", 1).seconds > 0
    assert prices.predict(kind, "item", 1).seconds > 0


def test_clicks_are_priced_by_the_click(start: Any) -> None:
    client = start()
    kind = Kind("interactive", "session/click", "request")
    session = client.post("/v1/interactive/sessions?model=polygon", files={"image": GOOD}).headers["Location"]
    for _ in range(5):
        answer = client.post(f"{session}/clicks", json={"polygon": [[1, 1], [9, 1], [9, 9]]})
        assert answer.status_code == 200
    assert 0 < client.services.admission.prices.predict(kind, "request", 1).seconds < 1
    teach(client, kind, "request", 1e6)
    assert client.get(session).status_code == 200


def test_openapi_tells_of_the_headers(client: AppClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/v1/damage", "/v1/waste", "/v1/ct", "/v1/radiograph", "/v1/interactive", "/v2/models/{model}/infer"):
        named = {parameter["name"] for parameter in paths[path]["post"]["parameters"]}
        assert named >= {PRIORITY, DEADLINE}


def test_emergencies_pass_long_work_by_at_its_next_row(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(work={"threads": 1})
    large = encode(noise(1500, 100))
    batches, infer = [0], client.services.engine.infer

    async def slow(*arguments: Any) -> Any:
        batches[0] += 1
        await asyncio.sleep(0.01)
        return await infer(*arguments)

    monkeypatch.setattr(client.services.engine, "infer", slow)

    async def scenario() -> tuple[int, int]:
        long = asyncio.create_task(client._request("POST", "/v1/damage", {"files": {"pre": large, "post": large}}))
        await until(lambda: batches[0] >= 3)
        urgent = await client._request("POST", "/v1/damage", {"files": FILES, "headers": {PRIORITY: "emergency"}})
        passed = batches[0]
        assert (urgent.status_code, (await long).status_code) == (200, 200)
        return passed, batches[0]

    passed, total = client.run(scenario)
    assert passed < total / 2


def test_where_nobody_leaves_nobody_is_counted_as_gone(start: Any) -> None:
    client = start()
    request = httpx.Request("POST", "http://gateway/v1/damage", files=FILES)
    converse(client, whole_then_gone(request.read(), asyncio.Event().wait), scope_of(request))
    assert sum(client.sample("maskgate_cancelled_total", stage=stage) for stage in STAGES) == 0
