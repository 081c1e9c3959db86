"""How far a call is, as the clients tell it and as the commands show it."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from maskgate_client import Progress, Retry, command, progress
from maskgate_client.cli import main

from tests.unit.client.conftest import FakeGateway, problem

# Seconds after which a bar is drawn again.
_REDRAWN = 0.15

CT = bytes(128) + b"DICM" + bytes(200_000)


class HeldGateway(FakeGateway):
    """A gateway whose `/v1/ct` ends when all of `far` was asked for, the answers to questions after its upload."""

    far: list[httpx.Response]
    uploaded = False

    @property
    def transport(self) -> httpx.MockTransport:
        return _Held(self)


class _Held(httpx.MockTransport):
    def __init__(self, gateway: HeldGateway) -> None:
        super().__init__(gateway._answer)
        self._gateway = gateway

    def _hold(self, request: httpx.Request) -> None:
        self._gateway.uploaded |= request.url.path == "/v1/ct"
        while request.url.path == "/v1/ct" and self._gateway.far:
            time.sleep(0.001)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self._hold(request)
        return super().handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        await asyncio.to_thread(self._hold, request)
        return await super().handle_async_request(request)


def far(stage: str, done: int, total: int | None) -> httpx.Response:
    return httpx.Response(200, json={"stage": stage, "done": done, "total": total})


def unknown() -> httpx.Response:
    """Return what is said of a request that does not run; asked for last, it proves that all before was told."""
    return problem(404, "request-not-found")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> HeldGateway:
    monkeypatch.setattr(progress, "_PERIOD", 0.001)
    held = HeldGateway()
    held.far = []

    def told(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.startswith("/v1/progress/"):
            return None
        return held.far.pop(0) if held.far and held.uploaded else unknown()

    held.instead = told
    return held


@pytest.mark.parametrize("method", ["ct", "ct_segmentation"])
def test_slices_are_told_after_the_bytes(ask: Any, gateway: HeldGateway, method: str) -> None:
    gateway.far = [
        unknown(),
        far("queue", 0, None),
        far("decode", 0, 300),
        problem(503, "overloaded"),
        far("infer", 120, 300),
        unknown(),
    ]
    told: list[Progress] = []
    ask(method, CT, *(["nifti"] if method == "ct_segmentation" else []), progress=told.append)
    sent = [step for step in told if step.stage == "send"]
    assert sent[-1] == Progress("send", len(CT), len(CT))
    assert told[len(sent) :] == [Progress("decode", 0, 300), Progress("infer", 120, 300)]


def test_questions_name_the_call_and_carry_its_key(ask: Any, gateway: HeldGateway) -> None:
    gateway.far = [far("infer", 1, 2), unknown()]
    ask("ct", CT, key="secret-1", progress=lambda _: None)
    call = next(request for request in gateway.requests if request.url.path == "/v1/ct")
    question = gateway.requests[0]
    assert question.url.path == f"/v1/progress/{call.headers['x-request-id']}"
    assert question.headers["authorization"] == "Bearer secret-1"


def test_a_call_sent_again_keeps_its_name_and_another_has_its_own(ask: Any, gateway: HeldGateway) -> None:
    refusals = [problem(503, "overloaded", retry_after=0)]
    gateway.instead = lambda _: refusals.pop() if refusals else None
    ask("ct", CT, retry=Retry())
    ask("ct", CT)
    first, again, other = (request.headers["x-request-id"] for request in gateway.requests)
    assert first == again != other


def test_nobody_is_asked_where_nobody_listens(ask: Any, gateway: HeldGateway) -> None:
    ask("ct", CT)
    assert [request.url.path for request in gateway.requests] == ["/v1/ct"]


def test_what_the_listener_raises_comes_out(ask: Any, gateway: HeldGateway) -> None:
    gateway.far = [far("infer", 1, 2), unknown()]

    def listen(step: Progress) -> None:
        if step.stage != "send":
            gateway.far.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask("ct", CT, progress=listen)


def test_an_answer_of_no_sense_is_no_progress(ask: Any, gateway: HeldGateway) -> None:
    gateway.far = [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"done": 1}),
        far("infer", 1, 2),
        unknown(),
    ]
    told: list[Progress] = []
    ask("ct", CT, progress=told.append)
    assert [step for step in told if step.stage != "send"] == [Progress("infer", 1, 2)]


def test_the_bar_is_of_bytes_and_then_of_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    with command.bar("slice") as tell:
        tell(Progress("send", 0, 1_000_000))
        time.sleep(_REDRAWN)
        tell(Progress("send", 500_000, 1_000_000))
        tell(Progress("decode", 0, 300))
        time.sleep(_REDRAWN)
        tell(Progress("infer", 120, 300))
    shown = terminal.getvalue()
    assert shown.index("500k/1.00M") < shown.index("120/300")


def test_the_command_follows_its_call(gateway: HeldGateway, tmp_path: Path) -> None:
    gateway.far = [far("infer", 7, 9), unknown()]
    (tmp_path / "slice.dcm").write_bytes(CT)
    assert main(["ct", str(tmp_path / "slice.dcm"), "--out", str(tmp_path)], transport=gateway.transport) == 0
    assert not gateway.far
