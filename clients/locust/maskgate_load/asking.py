"""One request, and what its answer is worth; whoever carries it is a `Caller`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from random import Random
from typing import Any, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskgate_load.records import Outcome

PNG, JSON = "image/png", "application/json"
_REFUSALS = (429, 503)
_OVERDUE = 504


@dataclass(frozen=True)
class Reply:
    """An answer. Status 0: none came, and `error` says why; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    error: str = ""


Check = Callable[[Reply], str | None]
"""Says what is wrong with an answer of the right status, or None."""


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        name: what it is counted as; never an address, of which there is one per session.
        method: HTTP method.
        path: below the gateway's address.
        headers: its own, besides those that the caller gives every request.
        body: as it is sent.
        status: of the answer it should get.
        check: of that answer.
    """

    name: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 200
    check: Check = lambda reply: None


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth.

    Attributes:
        outcome: of the request; late is for the caller to say, who knows when it was due.
        reason: what is wrong, where it failed.
        retry_after: seconds to wait, where it was refused.
    """

    outcome: Outcome
    reason: str = ""
    retry_after: float = 0.0


class Caller(Protocol):
    """Carries requests, counts what comes of them, and has patience."""

    rng: Random

    def ask(self, ask: Ask) -> Reply | None:
        """Return the right answer; None where it failed, or was refused more often than the caller has patience."""
        ...

    def pause(self, seconds: float) -> None:
        """Think; the next request is due when that is over."""
        ...


class Scenario(Protocol):
    """What one arrival does: a request, or a click session of several."""

    @property
    def task(self) -> str:
        """Its name in options and reports."""
        ...

    def play(self, caller: Caller) -> None:
        """Do it once."""
        ...


def judge(ask: Ask, reply: Reply, has_deadline: bool) -> Verdict:
    """Return what a reply is worth.

    A refusal is none without a Retry-After of whole seconds: a caller who is not told when to come back was failed.
    """
    if reply.status in _REFUSALS:
        after = reply.headers.get("retry-after", "")
        if after.isascii() and after.isdigit():
            return Verdict("refused", retry_after=float(after))
        return Verdict("failed", f"{reply.status} without a Retry-After of whole seconds")
    if reply.status == _OVERDUE and has_deadline:
        return Verdict("expired")
    if reply.status != ask.status:
        return Verdict("failed", reply.error or f"{reply.status} {_code(reply)}".strip())
    try:
        wrong = ask.check(reply)
    except (ValueError, KeyError, TypeError, IndexError, OSError, SyntaxError) as error:
        wrong = f"unreadable: {type(error).__name__}"
    return Verdict("failed", wrong) if wrong else Verdict("answered")


def multipart(**parts: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a form of files."""
    form = httpx.Request("POST", "http://x", files={name: (name, data) for name, data in parts.items()})
    return {"Content-Type": form.headers["Content-Type"]}, form.read()


def decoded(reply: Reply) -> NDArray[np.uint8]:
    """Return the values of a PNG, (height, width), every one of them decoded.

    Raises:
        OSError: it is none.
    """
    return np.asarray(Image.open(BytesIO(reply.content)), np.uint8)


def is_label_map(width: int, height: int) -> Check:
    """Return a check that the answer is a PNG of indices and of that size."""

    def check(reply: Reply) -> str | None:
        if wrong := kind_differs(reply, PNG):
            return wrong
        shape = decoded(reply).shape
        return None if shape == (height, width) else f"a map of {shape}, not {(height, width)}"

    return check


def is_json(*keys: str) -> Check:
    """Return a check that the answer is a JSON object with these keys and its provenance."""

    def check(reply: Reply) -> str | None:
        if wrong := kind_differs(reply, JSON):
            return wrong
        missing = {*keys, "provenance"} - dict(json.loads(reply.content)).keys()
        return f"without {', '.join(sorted(missing))}" if missing else None

    return check


def kind_differs(reply: Reply, wanted: str) -> str | None:
    """Return what is wrong with the media type."""
    found = reply.headers.get("content-type", "").partition(";")[0]
    return None if found == wanted else f"{found or 'no media type'} instead of {wanted}"


def _code(reply: Reply) -> str:
    """Return the code of a problem document, which is of a closed set."""
    try:
        problem: Any = json.loads(reply.content)
    except ValueError:
        return ""
    return str(problem.get("code", "")) if isinstance(problem, dict) else ""
