"""Click sessions: an image once, a box and a click, then clicks on what is wrong until a person would be content."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgate_load.asking import JSON, PNG, Ask, Caller, Reply, decoded, is_label_map, kind_differs, multipart
from maskgate_load.drawings import Thing, draw_thing, encoded, nearest

_SESSIONS = "/v1/interactive/sessions"
_SIZES = ((320, 240), (640, 480), (1024, 1024))
_SPREAD = 0.6
"""Of the logarithm of think times: of a median of 2 s, one in six is longer than 3.6 s, and one in forty than 6.5 s."""


@dataclass(frozen=True)
class Photograph:
    """A thing, and the form that a session with it begins with."""

    thing: Thing
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class ClickSession:
    """A scenario of one session with an image.

    Attributes:
        photographs: one of them is clicked on.
        think: median seconds between an answer and the next click.
        mends: clicks after the first at most; none where nothing is wrong.
        least_iou: of the object as drawn and the last mask; a lower one is a failure of the last click.
    """

    photographs: Sequence[Photograph]
    think: float = 2.0
    mends: int = 3
    least_iou: float = 0.6

    @property
    def task(self) -> str:
        """Its name in options and reports."""
        return "clicks"

    def play(self, caller: Caller) -> None:
        """Begin a session, click, and end it; one that was refused at its beginning is not begun."""
        chosen = caller.rng.choice(self.photographs)
        began = caller.ask(Ask("clicks: begin", "POST", _SESSIONS, chosen.headers, chosen.body, 201, _is_session))
        if began is None:
            return
        address = f"{_SESSIONS}/{json.loads(began.content)['id']}"
        self._click(caller, chosen.thing, address)
        caller.ask(Ask("clicks: end", "DELETE", address, status=204))

    def _click(self, caller: Caller, thing: Thing, address: str) -> None:
        prompt: Mapping[str, Any] = {"box": thing.box, "positive": [thing.centre]}
        for number in range(1 + self.mends):
            self._think(caller)
            last = number == self.mends
            answer = caller.ask(self._ask(thing, address, prompt, "first" if number == 0 else "click", last))
            if answer is None:
                return
            mended = correction(thing.mask, decoded(answer) > 0)
            if mended is None:
                return
            prompt = mended

    def _think(self, caller: Caller) -> None:
        if self.think > 0:
            caller.pause(caller.rng.lognormvariate(log(self.think), _SPREAD))

    def _ask(self, thing: Thing, address: str, prompt: Mapping[str, Any], step: str, last: bool) -> Ask:
        height, width = thing.mask.shape
        is_map = is_label_map(width, height)

        def check(reply: Reply) -> str | None:
            if (wrong := is_map(reply)) or not last:
                return wrong
            overlap = iou(thing.mask, decoded(reply) > 0)
            return None if overlap >= self.least_iou else f"the last mask's IoU is below {self.least_iou}"

        headers = {"Content-Type": JSON, "Accept": PNG}
        return Ask(f"clicks: {step}", "POST", f"{address}/clicks", headers, json.dumps(prompt).encode(), check=check)


def clicks(think: float) -> ClickSession:
    """Return sessions with drawn photographs of several sizes; `think` is the median of the pauses, in seconds."""
    photographs: list[Photograph] = []
    for width, height in _SIZES:
        for kind in ("PNG", "JPEG"):
            thing = draw_thing(len(photographs), width, height)
            photographs.append(Photograph(thing, *multipart(image=encoded(thing.pixels, kind))))
    return ClickSession(photographs, think)


def correction(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> Mapping[str, Any] | None:
    """Return the click that a person would make, on the larger of what is missing and what is too much; None: neither.

    It lies on the wrong pixel nearest to the middle of all such.
    """
    missing, extra = truth & ~found, found & ~truth
    kind, wrong = ("positive", missing) if missing.sum() >= extra.sum() else ("negative", extra)
    rows, columns = np.nonzero(wrong)
    return {kind: [nearest(rows, columns)]} if len(rows) else None


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the share of two masks' union that both cover; 1 where both are empty."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0


def _is_session(reply: Reply) -> str | None:
    return kind_differs(reply, JSON) or (None if json.loads(reply.content)["id"] else "a session without a name")
