"""Uploads and waits go on where a gateway was away."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from maskgate_client import AsyncClient, Client, Rejected, Unreachable
from maskgate_client.jobs import flow, protocol

DATA = bytes(range(256)) * 100
JOB: dict[str, Any] = {
    "id": "j",
    "task": "waste",
    "state": "done",
    **dict.fromkeys(("total", "done"), 1),
    **dict.fromkeys(("waiting", "running", "failed", "cancelled"), 0),
    "created": "2026-01-01T00:00:00Z",
    "ended": "2026-01-01T00:00:01Z",
    "expires": "2026-01-08T00:00:00Z",
}


class Flaky:
    """A gateway that keeps uploads, and fails where it is told to: at the n-th request."""

    def __init__(self, **failing: Callable[[httpx.Request], httpx.Response | None]) -> None:
        self.content = bytearray()
        self.asked: list[str] = []
        self.failing = {int(number.removeprefix("at")): failure for number, failure in failing.items()}
        self.body: dict[str, Any] = {}
        self.known: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        failure = self.failing.get(len(self.asked))
        if failure and (answer := failure(request)):
            return answer
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path in self.known:
            return httpx.Response(200, json=self.known[request.url.path])
        if request.url.path == "/v1/jobs":
            self.body = {"json": request.content, "key": request.headers["Idempotency-Key"]}
            return httpx.Response(202, json=JOB)
        if request.method == "POST":
            return httpx.Response(201, headers={"Location": "/v1/uploads/u"})
        if request.method == "PATCH":
            digest = b64encode(hashlib.sha256(request.content).digest()).decode()
            assert request.headers["Upload-Checksum"] == f"sha256 {digest}"
            assert int(request.headers["Upload-Offset"]) == len(self.content)
            self.content += request.content
        return httpx.Response(
            204 if request.method == "PATCH" else 200, headers={"Upload-Offset": str(len(self.content))}
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(protocol, "_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(protocol, "PIECE", 10_000)
    return iter(())


def gone(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("gone")


def arrived_and_gone(gateway: list[Flaky]) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        gateway[0]._answer(request)
        raise httpx.ReadError("gone")

    return fail


def wrong(request: httpx.Request) -> httpx.Response:
    return httpx.Response(460, json={"code": "checksum-wrong", "retryable": True})


def sent(gateway: Flaky) -> str:
    with Client(transport=httpx.MockTransport(gateway)) as client:
        return flow.carried(client._send, protocol.upload(DATA))


def test_an_upload_is_sent_in_pieces() -> None:
    gateway = Flaky()
    assert sent(gateway) == "u"
    assert gateway.asked == ["POST", "PATCH", "PATCH", "PATCH"]
    assert gateway.content == DATA


@pytest.mark.parametrize("failure", [gone, wrong])
def test_a_piece_that_did_not_arrive_is_sent_again(failure: Callable[[httpx.Request], httpx.Response]) -> None:
    gateway = Flaky(at3=failure)
    sent(gateway)
    assert gateway.asked == ["POST", "PATCH", "PATCH", "HEAD", "PATCH", "PATCH"]
    assert gateway.content == DATA


def test_a_piece_that_arrived_without_an_answer_is_not() -> None:
    place: list[Flaky] = []
    place.append(Flaky(at3=arrived_and_gone(place)))
    sent(place[0])
    assert place[0].asked == ["POST", "PATCH", "PATCH", "HEAD", "PATCH"]
    assert place[0].content == DATA


def test_a_gateway_that_stays_away_is_given_up() -> None:
    failing = {f"at{number}": gone for number in range(3, 40)}
    gateway = Flaky(**failing)
    with pytest.raises(Unreachable):
        sent(gateway)
    assert len(gateway.asked) < 12


def test_what_is_refused_is_not_sent_again() -> None:
    gateway = Flaky(at2=lambda _: httpx.Response(404, json={"code": "upload-not-found"}))
    with pytest.raises(Rejected):
        sent(gateway)
    assert gateway.asked == ["POST", "PATCH"]


def test_a_job_is_left_once_however_often_it_is_asked_for() -> None:
    keys = []

    def unanswered(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        raise httpx.ReadError("gone")

    gateway = Flaky(at1=unanswered)
    with Client(transport=httpx.MockTransport(gateway)) as client:
        job = client.submit("waste", [{"image": "s3://bucket/a.png", "prompt": {"box": [1, 2, 3, 4]}}], min_area=3)
    assert job.id == "j"
    assert gateway.body["key"] == keys[0]
    assert b'"parts":{"image":{"url":"s3://bucket/a.png"},"prompt":{"json":{"box":[1,2,3,4]}}}' in gateway.body["json"]
    assert b'"parameters":{"min_area":3}' in gateway.body["json"]


def test_the_asynchronous_client_does_the_same() -> None:
    gateway = Flaky(at2=gone)

    async def leave() -> str:
        async with AsyncClient(transport=httpx.MockTransport(gateway)) as client:
            job = await client.submit("waste", [{"image": DATA}])
            assert (await job.wait()).over
            return job.id

    gateway.known = {"/v1/jobs/j": JOB}
    assert asyncio.run(leave()) == "j"
    assert gateway.content == DATA
