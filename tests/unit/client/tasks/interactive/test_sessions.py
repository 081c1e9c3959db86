"""Objects by clicks: one request, or a session on one image."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client import (
    AsyncClient,
    AsyncSession,
    Client,
    Conflict,
    Prompt,
    Rejected,
    Retry,
    RunLengths,
    SessionLost,
    UnexpectedAnswer,
    Unreachable,
)

PIXELS = np.zeros((3, 4, 3), np.uint8)
MASK = np.array([[0, 0, 1, 1], [0, 1, 1, 0], [0, 1, 1, 1]], bool)
Step = tuple[Any, ...]
Play = Callable[..., list[Any]]


@pytest.fixture(params=["sync", "async"])
def play(request: pytest.FixtureRequest, gateway: Any) -> Play:
    """Take steps, each a method's name and its arguments, in one session, and return what they answer."""

    def blocking(*steps: Step, retry: Retry | None = None, **options: Any) -> list[Any]:
        with (
            Client(transport=gateway.transport, retry=retry) as client,
            client.interactive(PIXELS, **options) as session,
        ):
            return [getattr(session, name)(*arguments) for name, *arguments in steps]

    def awaited(*steps: Step, retry: Retry | None = None, **options: Any) -> list[Any]:
        async def run() -> list[Any]:
            async with (
                AsyncClient(transport=gateway.transport, retry=retry) as client,
                client.interactive(PIXELS, **options) as session,
            ):
                return [await take(session, step) for step in steps]

        return asyncio.run(run())

    return blocking if request.param == "sync" else awaited


async def take(session: AsyncSession, step: Step) -> Any:
    name, *arguments = step
    answer = getattr(session, name)(*arguments)
    return await answer if asyncio.iscoroutine(answer) else answer


def asked(gateway: Any) -> list[tuple[str, str]]:
    return [(request.method, request.url.path.removeprefix("/v1/interactive")) for request in gateway.requests]


def bodies(gateway: Any) -> list[Any]:
    """Return what was added, click by click."""
    added = [r for r in gateway.requests if r.method == "POST" and r.url.path.endswith("/s-1/clicks")]
    return [json.loads(request.read()) for request in added]


def refuse(gateway: Any, method: str, status: int, code: str) -> None:
    """Let the gateway refuse what is done to the session by this method."""

    def instead(request: httpx.Request) -> httpx.Response | None:
        if request.method != method or not request.url.path.startswith("/v1/interactive/sessions/"):
            return None
        return httpx.Response(status, json={"title": "No", "code": code}, headers={"retry-after": "0"})

    gateway.instead = instead


def test_one_request_answers_with_masks_and_what_they_were_made_from(ask: Any, gateway: Any) -> None:
    report = ask("segment", PIXELS, Prompt(box=(0, 0, 3, 2), positive=[(2, 1)]))
    (found,) = report.objects
    np.testing.assert_array_equal(found.mask, MASK)
    np.testing.assert_array_equal(report.instance_map(), MASK.astype(np.uint8))
    assert (found.box, found.area, found.score, found.threshold) == ((1, 0, 4, 3), 7, 0.75, 0.5)
    assert (found.crop, found.notices) == ((-1, -2, 6, 5), ("the inside click was taken at (2, 1)",))
    assert found.parts[0].polygon[0] == (1, 1)
    assert found.parts[0].holes == (((3, 1),),)
    assert (report.model, report.width, report.height) == ("click-lite0", 4, 3)
    assert (report.provenance.version, report.provenance.encoder_digest) == (1, "sha256:22")
    assert report.notices == ("alpha channel dropped",)
    assert (report.coco, report.pictures) == (None, {})
    body = gateway.requests[0].read()
    assert b'{"box": [0.0, 0.0, 3.0, 2.0], "positive": [[2.0, 1.0]]}' in body
    assert not gateway.requests[0].url.query


def test_several_prompts_are_several_objects(ask: Any, gateway: Any) -> None:
    ask("segment", PIXELS, Prompt(box=(0, 0, 3, 2), tight=False), Prompt(extreme=[(0, 0), (1, 1), (2, 2), (3, 3)]))
    assert b'{"objects": [{"box": [0.0, 0.0, 3.0, 2.0], "tight": false}, {"extreme": ' in gateway.requests[0].read()


def test_a_request_names_what_it_wants(ask: Any, gateway: Any) -> None:
    chosen = {"model": "iog", "version": 2, "threshold": 0.25, "include": ("mask", "coco")}
    report = ask("segment", PIXELS, Prompt(polygon=[(0, 0), (3, 0), (3, 2)]), **chosen)
    assert str(gateway.requests[0].url.query, "ascii") == "model=iog&version=2&threshold=0.25&include=mask&include=coco"
    assert report.pictures == {"mask": b"mask"}
    assert report.coco == {"images": [{"id": 1}]}
    assert not report.document.keys() & {"pictures", "coco"}


def test_strokes_and_numbers_of_numpy_are_written_as_json() -> None:
    prompt = Prompt(strokes=[np.array([[0, 1], [2, 2]])], background_strokes=[[(np.float32(1.5), np.int64(0))]])
    expected = {"strokes": {"object": [[[0, 1], [2, 2]]], "background": [[[1.5, 0]]]}}
    assert json.loads(json.dumps(prompt.document())) == expected


def test_no_number_is_refused_before_anything_is_sent(ask: Any, gateway: Any, play: Play) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ask("segment", PIXELS, Prompt(positive=[(float("nan"), 1)]))
    with pytest.raises(ValueError, match="JSON"):
        play(("click", float("inf"), 1))
    assert asked(gateway) == [("POST", "/sessions"), ("DELETE", "/sessions/s-1")]


def test_a_session_sends_the_image_once_and_each_click_alone(play: Play, gateway: Any) -> None:
    found, mended, *_ = play(
        ("box", 0, 0, 3, 2),
        ("click", 2, 1),
        ("extreme", (0, 0), (1, 1), (2, 2), (3, 3)),
        ("polygon", (0, 0), (3, 0), (3, 2)),
        ("stroke", (0, 0), (1, 1)),
        model="click-lite0",
        version=1,
        threshold=0.3,
    )
    np.testing.assert_array_equal(found.mask, MASK)
    assert mended.value == 1
    assert bodies(gateway) == [
        {"box": [0, 0, 3, 2]},
        {"positive": [[2, 1]]},
        {"extreme": [[0, 0], [1, 1], [2, 2], [3, 3]]},
        {"polygon": [[0, 0], [3, 0], [3, 2]]},
        {"strokes": {"object": [[[0, 0], [1, 1]]], "background": []}},
    ]
    assert str(gateway.requests[0].url.query, "ascii") == "model=click-lite0&version=1&threshold=0.3"
    assert [b"\x89PNG" in request.read() for request in gateway.requests] == [True] + [False] * 6
    assert asked(gateway)[-1] == ("DELETE", "/sessions/s-1")


def test_clicks_beside_the_object_are_negative(gateway: Any) -> None:
    with Client(transport=gateway.transport) as client, client.interactive(PIXELS) as session:
        assert (session.started.width, session.started.model, session.started.clicks) == (4, "click-lite0", 0)
        session.box(0, 0, 3, 2, tight=False)
        session.click(0, 0, positive=False)
        session.stroke((0, 0), positive=False)
        assert session.state().clicks == 3
    assert bodies(gateway) == [
        {"box": [0, 0, 3, 2], "tight": False},
        {"negative": [[0, 0]]},
        {"strokes": {"object": [], "background": [[[0, 0]]]}},
    ]


def test_objects_follow_each_other_and_can_be_returned_to(play: Play, gateway: Any) -> None:
    answers = play(
        ("next_object",),
        ("click", 1, 1),
        ("next_object",),
        ("click", 2, 2),
        ("click", 3, 2),
        ("return_to", 1),
        ("click", 0, 0),
        ("report",),
    )
    assert [answers[index].value for index in (1, 3, 4, 6)] == [1, 2, 2, 1]
    assert [body.get("object") for body in bodies(gateway)] == ["new", "new", None, 1]
    assert answers[-1].objects[0].area == 7


def test_undo_and_reset_go_back(play: Play, gateway: Any) -> None:
    answers = play(
        ("click", 1, 1), ("next_object",), ("click", 2, 2), ("undo",), ("undo",), ("click", 1, 1), ("reset",)
    )
    left, nothing, _, reset = answers[3:]
    assert left.value == 1
    assert nothing is None
    assert reset is None
    assert asked(gateway)[3:5] == [("DELETE", "/sessions/s-1/clicks/last")] * 2
    assert asked(gateway)[-2:] == [("DELETE", "/sessions/s-1/clicks"), ("DELETE", "/sessions/s-1")]


@pytest.mark.parametrize("step", ["undo", "reset"])
def test_going_back_forgets_that_another_object_was_to_begin(play: Play, gateway: Any, step: str) -> None:
    play(("click", 1, 1), ("next_object",), (step,), ("click", 2, 2))
    assert [body.get("object") for body in bodies(gateway)] == [None, None]


def test_a_refused_click_leaves_the_next_object_to_begin(gateway: Any) -> None:
    with Client(transport=gateway.transport) as client, client.interactive(PIXELS) as session:
        session.next_object()
        refuse(gateway, "POST", 422, "click-outside")
        with pytest.raises(Rejected):
            session.click(9, 9)
        gateway.instead = lambda _: None
        session.click(2, 2)
    assert [body.get("object") for body in bodies(gateway)] == ["new", "new"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "session-not-found", SessionLost),
        (409, "session-outdated", SessionLost),
        (409, "session-changed", Conflict),
        (422, "click-outside", Rejected),
    ],
)
def test_what_a_session_refuses_is_said_once_and_not_sent_again(
    play: Play, gateway: Any, status: int, code: str, kind: type[Exception]
) -> None:
    refuse(gateway, "POST", status, code)
    with pytest.raises(kind) as caught:
        play(("click", 1, 1))
    assert type(caught.value) is kind
    assert asked(gateway) == [("POST", "/sessions"), ("POST", "/sessions/s-1/clicks"), ("DELETE", "/sessions/s-1")]


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_an_error_in_the_block_ends_the_session_and_is_not_covered_up(gateway: Any, client: type) -> None:
    refuse(gateway, "DELETE", 404, "session-not-found")

    def blocking() -> None:
        with Client(transport=gateway.transport) as own, own.interactive(PIXELS):
            raise KeyError("mine")

    async def awaited() -> None:
        async with AsyncClient(transport=gateway.transport) as own, own.interactive(PIXELS):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        blocking() if client is Client else asyncio.run(awaited())
    assert asked(gateway)[-1] == ("DELETE", "/sessions/s-1")


def test_a_gateway_that_is_gone_at_the_end_costs_nothing_that_was_answered(play: Play, gateway: Any) -> None:
    def instead(request: httpx.Request) -> httpx.Response | None:
        if request.method == "DELETE":
            raise httpx.ConnectError("refused")
        return None

    gateway.instead = instead
    (found,) = play(("click", 1, 1))
    assert found.area == 7


def test_no_session_is_begun_where_the_image_is_refused(play: Play, gateway: Any, tmp_path: Path) -> None:
    gateway.instead = lambda _: httpx.Response(415, json={"code": "unsupported-media"})
    with pytest.raises(Rejected):
        play(("click", 1, 1))
    with Client(transport=gateway.transport) as client, pytest.raises(FileNotFoundError):
        client.interactive(tmp_path / "gone.png").__enter__()
    assert asked(gateway) == [("POST", "/sessions")]


def test_a_session_waits_for_a_busy_gateway(play: Play, gateway: Any) -> None:
    busy = iter([503, 503])

    def instead(_: httpx.Request) -> httpx.Response | None:
        status = next(busy, None)
        if status is None:
            return None
        return httpx.Response(status, json={"code": "sessions-full"}, headers={"retry-after": "0"})

    gateway.instead = instead
    (found,) = play(("click", 1, 1))
    assert found.area == 7


@pytest.mark.parametrize("step", [("click", 1, 1), ("undo",), ("report",), ("state",), ("reset",)])
@pytest.mark.parametrize("document", [{}, [], {"objects": [{"rle": {"size": [3, 4], "counts": "4"}}]}])
def test_a_stranger_at_the_address_is_an_unexpected_answer(play: Play, gateway: Any, step: Step, document: Any) -> None:
    def instead(request: httpx.Request) -> httpx.Response | None:
        return None if request.url.path.endswith("/sessions") else httpx.Response(200, json=document)

    gateway.instead = instead
    with pytest.raises(UnexpectedAnswer):
        play(step)


def test_an_answer_that_is_lost_is_unreachable_and_not_asked_for_again(play: Play, gateway: Any) -> None:
    def instead(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/clicks"):
            raise httpx.ReadTimeout("slow")
        return None

    gateway.instead = instead
    with pytest.raises(Unreachable):
        play(("click", 1, 1))
    assert len(bodies(gateway)) == 1


def test_a_former_mask_goes_as_run_lengths(ask: Any, gateway: Any) -> None:
    mask = np.zeros((3, 4), np.bool_)
    mask[0, 0] = mask[1:, 2] = True
    ask("segment", PIXELS, Prompt(mask=mask))
    assert b'{"mask": {"size": [3, 4], "counts": [0, 1, 6, 2, 3]}}' in gateway.requests[0].read()
    ask("segment", PIXELS, Prompt(mask=RunLengths(3, 4, "07M:", ())))
    assert b'{"mask": {"size": [3, 4], "counts": "07M:"}}' in gateway.requests[1].read()


def test_shapes_of_masks_are_asked_for(ask: Any, gateway: Any) -> None:
    ask("segment", PIXELS, Prompt(positive=[(1, 1)]), simplify=0.5, holes="fill", largest=True, overlap="keep")
    assert gateway.requests[0].url.query == b"simplify=0.5&holes=fill&largest=true&overlap=keep"
