from __future__ import annotations

import inspect
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client import (
    AsyncClient,
    AsyncSession,
    Busy,
    Client,
    Conflict,
    Failed,
    MaskgateError,
    Problem,
    Rejected,
    Retry,
    Session,
    UnexpectedAnswer,
    Unreachable,
)
from maskgate_client.images import png_bytes
from PIL import Image

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
Ask = Callable[..., Any]


def respond(gateway: Any, *responses: httpx.Response | Exception) -> None:
    """Let `gateway` give these answers first, one per request, and its usual ones afterwards."""
    queue = iter(responses)

    def instead(_: httpx.Request) -> httpx.Response | None:
        answer = next(queue, None)
        if isinstance(answer, Exception):
            raise answer
        # A fresh one each time: httpx ties a response to the client that read it.
        return answer and httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    gateway.instead = instead


def problem(status: int, **headers: str) -> httpx.Response:
    document: dict[str, Any] = {
        "title": "Overloaded",
        "detail": "Later.",
        "code": "overloaded",
        "request_id": "r-9",
        "limit": 7,
    }
    document["errors"] = [{"pointer": "/pre", "detail": "Later."}]
    return httpx.Response(status, headers=headers, json=document)


@pytest.mark.parametrize(("blocking", "awaited"), [(Client, AsyncClient), (Session, AsyncSession)])
def test_both_clients_have_the_same_calls(blocking: type, awaited: type) -> None:
    def signatures(kind: type) -> dict[str, list[str]]:
        public = inspect.getmembers(kind, lambda m: inspect.isfunction(m) and not m.__name__.startswith("_"))
        return {name: list(inspect.signature(method).parameters) for name, method in public}

    assert signatures(blocking) == signatures(awaited)


def test_a_key_is_sent_and_nothing_where_there_is_none(ask: Ask, gateway: Any) -> None:
    ask("ready", key="secret-1")
    ask("ready")
    assert [request.headers.get("authorization") for request in gateway.requests] == ["Bearer secret-1", None]


@pytest.mark.parametrize("key", ["", "two words", "ключ", "line\n"])
def test_a_key_that_no_header_can_carry_is_refused(ask: Ask, gateway: Any, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        ask("ready", key=key)
    assert not gateway.requests


def test_a_damage_map_has_labels_palette_and_origin(ask: Ask, gateway: Any) -> None:
    damage = ask("damage", PIXELS, PIXELS, model="bd-siamunet")
    assert damage.labels.tolist() == [[0, 0, 1], [0, 4, 4]]
    assert damage.labels.dtype == damage.palette.dtype == np.uint8
    assert damage.palette[4].tolist() == [255, 0, 0]
    assert (damage.origin.model, damage.origin.version, damage.origin.request_id) == ("bd-siamunet", 1, "r-1")
    assert damage.origin.timing == {"decode": 12.5, "infer": 80.0}
    assert damage.notices == ()
    assert Image.open(BytesIO(damage.png)).mode == "P"
    assert gateway.requests[0].url == "http://127.0.0.1:8080/v1/damage?model=bd-siamunet"
    assert gateway.requests[0].headers["accept"] == "image/png"


@pytest.mark.parametrize("call", ["damage", "damage_report", "damage_overlay"])
def test_a_version_can_be_named(ask: Ask, gateway: Any, call: str) -> None:
    ask(call, PIXELS, PIXELS, model="bd-fcn", version=2)
    params = gateway.requests[0].url.params
    assert (params["model"], params["version"]) == ("bd-fcn", "2")


def test_a_report_has_classes_regions_and_provenance(ask: Ask, gateway: Any) -> None:
    report = ask("damage_report", PIXELS, PIXELS)
    (region,) = report.regions
    assert region.polygon == ((1, 1), (3, 1), (3, 2), (1, 2))
    assert (region.value, region.name, region.area, region.confidence) == (4, "destroyed", 2, 0.75)
    assert report.buildings() == {"no-damage": 0, "destroyed": 1}
    assert report.classes[2].colour == (255, 0, 0)
    assert report.provenance.engine == "embedded"
    assert report.notices == ("post image: alpha dropped",)
    assert report.pictures == {}
    assert not gateway.requests[0].url.query


def test_a_report_brings_pictures_along(ask: Ask, gateway: Any) -> None:
    report = ask("damage_report", PIXELS, PIXELS, include=("label_map", "overlay"))
    assert Image.open(BytesIO(report.pictures["label_map"])).mode == "P"
    assert report.pictures["overlay"] == b"overlay"
    assert "pictures" not in report.document
    assert len(gateway.requests) == 1


def test_an_overlay_is_the_gateways_picture(ask: Ask, gateway: Any) -> None:
    assert ask("damage_overlay", PIXELS, PIXELS) == b"overlay"
    assert gateway.requests[0].url.params["overlay"] == "true"


def test_models_cards_and_readiness(ask: Ask, gateway: Any) -> None:
    good, broken = ask("models")
    assert (good.name, good.state, good.version, good.reason) == ("bd-siamunet", "ready", 1, "")
    assert (broken.state, broken.version, broken.reason) == ("failed", None, "no card.json")
    assert ask("card", "bd-siamunet").card == {"licence": "research"}
    assert ask("ready") is True
    respond(gateway, problem(503, **{"retry-after": "0"}))
    assert ask("ready") is False


def test_a_models_name_cannot_lead_elsewhere(ask: Ask, gateway: Any) -> None:
    with pytest.raises(Rejected):
        ask("card", "../readyz")
    assert gateway.requests[0].url.raw_path == b"/v1/models/..%2Freadyz"


def test_file_names_stay_at_home(ask: Ask, gateway: Any, tmp_path: Path) -> None:
    path = tmp_path / "patient street 4.png"
    path.write_bytes(png_bytes(PIXELS))
    ask("damage", path, str(path))
    body = gateway.requests[0].read()
    assert b"patient" not in body
    assert body.count(b"Content-Type: image/png") == 2
    assert b'name="pre"; filename="pre"' in body
    assert b'name="post"; filename="post"' in body


def test_a_problem_says_everything_the_document_says(ask: Ask, gateway: Any) -> None:
    respond(gateway, problem(413))
    with pytest.raises(Rejected) as caught:
        ask("damage", PIXELS, PIXELS)
    error = caught.value
    assert (error.status, error.code, error.title, error.detail) == (413, "overloaded", "Overloaded", "Later.")
    assert (error.request_id, error.limit, error.retryable, error.retry_after) == ("r-9", 7, False, None)
    assert error.pointer == "/pre"
    assert str(error) == "Overloaded: Later."


@pytest.mark.parametrize("errors", [None, [], ["/pre"], [{}], [{"pointer": 1}], {"pointer": "/pre"}])
def test_a_problem_that_points_nowhere_has_no_pointer(ask: Ask, gateway: Any, errors: Any) -> None:
    respond(gateway, httpx.Response(422, json={"code": "parameter-invalid", "errors": errors}))
    with pytest.raises(Rejected) as caught:
        ask("models")
    assert caught.value.pointer is None


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Rejected), (409, Conflict), (429, Busy), (500, Failed), (503, Busy), (504, Failed)]
)
def test_the_kind_of_a_problem_follows_its_status(ask: Ask, gateway: Any, status: int, kind: type[Problem]) -> None:
    respond(gateway, httpx.Response(status, text="<html>from a proxy</html>", headers={"x-request-id": "p-1"}))
    with pytest.raises(kind) as caught:
        ask("models", retry=Retry(attempts=1))
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.request_id) == (f"http-{status}", "p-1")


def test_a_busy_gateway_is_asked_again(ask: Ask, gateway: Any) -> None:
    respond(gateway, problem(503, **{"retry-after": "0"}), problem(429, **{"retry-after": "0"}))
    assert ask("damage", PIXELS, PIXELS).origin.version == 1
    assert [b"\x89PNG" in request.read() for request in gateway.requests] == [True, True, True]


def test_patience_ends(ask: Ask, gateway: Any) -> None:
    respond(gateway, *[problem(503, **{"retry-after": "0"})] * 9)
    with pytest.raises(Busy):
        ask("damage", PIXELS, PIXELS, retry=Retry(attempts=3))
    assert len(gateway.requests) == 3


def test_too_long_a_wait_is_not_waited(ask: Ask, gateway: Any) -> None:
    respond(gateway, problem(503, **{"retry-after": "3600"}))
    with pytest.raises(Busy) as caught:
        ask("damage", PIXELS, PIXELS)
    assert caught.value.retry_after == 3600
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    "trouble", [httpx.ReadTimeout("slow"), httpx.ReadError("cut"), problem(500), problem(502), problem(504)], ids=repr
)
def test_what_may_have_been_processed_is_not_sent_again(
    ask: Ask, gateway: Any, trouble: httpx.Response | Exception
) -> None:
    respond(gateway, trouble)
    with pytest.raises(MaskgateError):
        ask("damage", PIXELS, PIXELS)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (httpx.ConnectError("refused"), "no gateway answers at http://127.0.0.1:8080"),
        (httpx.ConnectTimeout("lost"), "no gateway answers"),
        (httpx.ReadTimeout("slow"), "in time"),
        (httpx.RemoteProtocolError("cut"), "broke before"),
    ],
    ids=repr,
)
def test_no_answer_is_unreachable(ask: Ask, gateway: Any, trouble: Exception, said: str) -> None:
    respond(gateway, trouble)
    with pytest.raises(Unreachable, match=said):
        ask("models")


def good(content: bytes, media: str = "image/png", **headers: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": media, **headers}, content=content)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("damage", good(b"<html>", "text/html")),
        ("damage", good(b"not a PNG")),
        ("damage", good(png_bytes(PIXELS))),
        ("damage", good(png_bytes(PIXELS)[:40])),
        ("damage_report", good(b"{", "application/json")),
        ("damage_report", good(b"[]", "application/json")),
        ("damage_report", good(b'{"model": "m"}', "application/json")),
        ("damage_report", httpx.Response(302, headers={"location": "/login"})),
    ],
)
def test_a_stranger_at_the_address_is_an_unexpected_answer(
    ask: Ask, gateway: Any, method: str, answer: httpx.Response
) -> None:
    respond(gateway, answer)
    with pytest.raises(UnexpectedAnswer):
        ask(method, PIXELS, PIXELS)


def test_the_largest_maps_are_read_without_a_warning(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    assert ask("damage", b"II*\x00", b"II*\x00").labels.shape == (2, 3)


@pytest.mark.parametrize(
    "array",
    [PIXELS[:0], PIXELS[..., :2], PIXELS.astype(np.uint16), PIXELS[None], PIXELS[0, 0], PIXELS[..., 0].astype(float)],
    ids=["empty", "2c", "u16", "4d", "1d", "float"],
)
def test_other_arrays_are_refused_before_anything_is_sent(ask: Ask, gateway: Any, array: Any) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        ask("damage", array, PIXELS)
    assert not gateway.requests


def test_a_file_that_is_not_there_is_an_ordinary_error(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ask("damage", tmp_path / "gone.png", PIXELS)
