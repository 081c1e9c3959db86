"""What an answer is worth."""

from __future__ import annotations

import json
from random import Random

import numpy as np
import pytest
from maskgate_load.asking import JSON, PNG, Ask, Check, Reply, is_json, is_label_map, judge
from maskgate_load.clicking import ClickSession, clicks, correction, iou
from maskgate_load.drawings import draw_thing
from maskgate_load.singles import tensors

from tests.support.pictures import encode, noise

MAP = Ask("pairs", "POST", "/v1/damage", check=is_label_map(4, 3))
RIGHT = encode(np.zeros((3, 4), np.uint8))
LARGE = encode(noise(64, 64))


def reply(status: int = 200, kind: str = PNG, content: bytes = RIGHT, **headers: str) -> Reply:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"content-type": kind, **told}, content)


def test_a_right_answer() -> None:
    assert judge(MAP, reply(), False).outcome == "answered"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (reply(500, JSON, b'{"code": "internal"}'), "500 internal"),
        (reply(404, "text/html", b"<p>"), "404"),
        (reply(201), "201"),
        (reply(kind=JSON), "application/json instead of image/png"),
        (reply(content=encode(np.zeros((4, 4), np.uint8))), "a map of (4, 4), not (3, 4)"),
        (reply(content=LARGE[: len(LARGE) // 2]), "unreadable: OSError"),
        (reply(content=b""), "unreadable: UnidentifiedImageError"),
        (Reply(0, {}, b"", "ConnectionRefusedError"), "ConnectionRefusedError"),
        (reply(503), "503 without a Retry-After of whole seconds"),
        (reply(429, retry_after="soon"), "429 without a Retry-After of whole seconds"),
        (reply(504), "504"),
    ],
)
def test_a_failure_says_why(given: Reply, reason: str) -> None:
    verdict = judge(MAP, given, False)
    assert (verdict.outcome, verdict.reason) == ("failed", reason)


@pytest.mark.parametrize("status", [429, 503])
def test_who_says_when_to_come_back_has_not_failed(status: int) -> None:
    verdict = judge(MAP, reply(status, JSON, retry_after="7"), False)
    assert (verdict.outcome, verdict.retry_after) == ("refused", 7)


def test_a_deadline_that_passed_is_no_failure_where_there_was_one() -> None:
    assert judge(MAP, reply(504), True).outcome == "expired"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ({"classes": [], "provenance": {}}, None),
        ({"classes": []}, "without provenance"),
        ({}, "without classes, provenance"),
    ],
)
def test_json_has_its_keys(content: object, wrong: str | None) -> None:
    assert is_json("classes")(reply(kind=JSON, content=json.dumps(content).encode())) == wrong


def test_a_correction_lies_on_the_larger_error() -> None:
    truth = np.zeros((40, 40), bool)
    truth[10:30, 10:30] = True
    found = truth.copy()
    found[10:20, 10:30] = False
    found[35:37, 35:37] = True
    missing = correction(truth, found)
    assert missing is not None
    ((x, y),) = missing["positive"]
    assert 10 <= x < 30
    assert 10 <= y < 20
    assert correction(truth, truth) is None
    extra = correction(truth, truth | (np.arange(40) > 34))
    assert extra is not None
    ((x, y),) = extra["negative"]
    assert x > 34
    assert iou(truth, truth) == 1
    assert iou(truth, found) == pytest.approx(200 / 404)


class Gateway:
    """Answers a click session with masks that are ever better, or not."""

    def __init__(self, session: ClickSession, mends: bool = True) -> None:
        self.rng = Random(1)
        self.asked: list[Ask] = []
        self.wrong: list[str | None] = []
        self.pauses: list[float] = []
        self._truth = session.photographs[0].thing.mask
        self._mends = mends

    def ask(self, ask: Ask) -> Reply | None:
        self.asked.append(ask)
        if ask.name == "clicks: begin":
            return reply(201, JSON, b'{"id": "s1"}')
        if ask.name == "clicks: end":
            return reply(204, "", b"")
        share = min(1.0, 0.3 * len(self.asked)) if self._mends else 0.1
        found = self._truth & (np.cumsum(self._truth).reshape(self._truth.shape) <= share * self._truth.sum())
        answer = reply(content=encode(found.astype(np.uint8)))
        self.wrong.append(ask.check(answer))
        return answer

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def test_a_session_sends_the_image_once_mends_what_is_wrong_and_ends() -> None:
    session = clicks(think=2.0)
    session = ClickSession(session.photographs[:1], think=2.0)
    gateway = Gateway(session)
    session.play(gateway)
    assert [ask.name for ask in gateway.asked] == [
        "clicks: begin",
        "clicks: first",
        "clicks: click",
        "clicks: click",
        "clicks: end",
    ]
    assert {ask.path for ask in gateway.asked[1:-1]} == {"/v1/interactive/sessions/s1/clicks"}
    first, second = (json.loads(ask.body) for ask in gateway.asked[1:3])
    thing = session.photographs[0].thing
    assert first == {"box": list(thing.box), "positive": [list(thing.centre)]}
    assert [*second] == ["positive"]
    assert gateway.wrong == [None] * 3, "the mask is right by the third click, so there is no fourth"
    assert len(gateway.pauses) == 3
    assert all(pause > 0 for pause in gateway.pauses)


def test_a_mask_that_stays_wrong_is_a_failure_of_the_last_click() -> None:
    session = ClickSession(clicks(think=0.0).photographs[:1], think=0.0)
    gateway = Gateway(session, mends=False)
    session.play(gateway)
    assert gateway.wrong == [None, None, None, "the last mask's IoU is below 0.6"]
    assert gateway.pauses == []


def test_a_thing_lies_within_its_picture_and_its_middle_within_it() -> None:
    for seed in range(20):
        thing = draw_thing(seed, 320, 240)
        x0, y0, x1, y1 = thing.box
        assert 0 < x0 < x1 < 320
        assert 0 < y0 < y1 < 240
        x, y = thing.centre
        assert thing.mask[y, x]


def described(name: str, shape: list[int]) -> dict[str, object]:
    return {"name": name, "datatype": "UINT8", "shape": shape}


def test_tensors_are_asked_for_and_checked_to_the_byte() -> None:
    metadata = {"inputs": [described("pre", [-1, 2, 2, 3])], "outputs": [described("map", [-1, 2, 2])]}
    (ask,) = tensors("m", metadata).asks
    length = int(ask.headers["Inference-Header-Content-Length"])
    head = json.loads(ask.body[:length])
    assert head["inputs"][0]["shape"] == [1, 2, 2, 3]
    assert len(ask.body) == length + 12
    answer = {"outputs": [{"name": "map", "shape": [1, 2, 2], "parameters": {"binary_data_size": 4}}]}
    assert checked(ask.check, answer, b"1234") is None
    assert checked(ask.check, answer, b"123") == "its tensor is cut off, or followed by something"
    answer["outputs"][0]["shape"] = [1, 2]
    assert checked(ask.check, answer, b"1234") == "other outputs than asked for"


def checked(check: Check, head: object, tail: bytes) -> str | None:
    text = json.dumps(head).encode()
    return check(Reply(200, {"inference-header-content-length": str(len(text))}, text + tail))
