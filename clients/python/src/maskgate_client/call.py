"""One request and how to read its answer, without network input or output; both clients carry the same `Call`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from uuid import uuid4

import httpx

from maskgate_client.errors import Busy, Conflict, Failed, Problem, Rejected, SessionLost, UnexpectedAnswer
from maskgate_client.images import ImageInput, image_bytes, media_type
from maskgate_client.progress import Tell

JSON = "application/json"

Part = tuple[str, bytes, str]
Polygons = str | PathLike[str] | bytes
"""The path of a GeoJSON file of polygons, or its bytes."""

Query = dict[str, str | Sequence[str]]
S = TypeVar("S")
T = TypeVar("T")

_LOST = {"session-not-found", "session-outdated"}


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to read its answer.

    Attributes:
        method: HTTP method.
        path: below the gateway's address.
        accept: media type asked for.
        read: turns an answer of one of `statuses` into a value.
        params: query.
        files: multipart parts: name → (file name, bytes, media type).
        json: the body, where it is JSON.
        content: the body, where it is bytes.
        headers: beside those that every call has.
        statuses: the statuses that are answers and not problems.
        progress: is told how far it is, while it waits.
        seconds: how long the answer may take; None: as long as the client waits for others.
        then: makes the next call of the answer's value, where one request does not do; see `followed_by`.
        request_id: what the gateway knows it by while it runs, also where it is sent again.
    """

    method: str
    path: str
    accept: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Part] | None = None
    json: Mapping[str, Any] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = (200,)
    progress: Tell | None = None
    seconds: float | None = None
    then: Callable[[T], Call[T]] | None = None
    request_id: str = field(default_factory=lambda: uuid4().hex)

    def followed_by(self, then: Callable[[T], Call[S]]) -> Call[S]:
        """Return this call with another after it, whose value is what the caller gets."""
        return cast("Call[S]", replace(self, then=cast("Callable[[T], Call[T]]", then)))

    def result(self, response: httpx.Response) -> T:
        """Return what `response` says.

        Raises:
            Problem: the gateway says why it did not do it.
            UnexpectedAnswer: the answer is not one of Maskgate's.
        """
        if response.status_code >= 400 and response.status_code not in self.statuses:
            raise read_problem(response)
        if response.status_code not in self.statuses:
            raise UnexpectedAnswer(f"{self.path} answered with HTTP {response.status_code}")
        given = response.headers.get("content-type", "").partition(";")[0].strip()
        if self.accept not in ("*/*", given):
            raise UnexpectedAnswer(f"expected {self.accept} from {self.path}, got {given or 'no media type'}")
        try:
            return self.read(response)
        except (KeyError, TypeError, ValueError, AttributeError, OSError, SyntaxError) as error:
            raise UnexpectedAnswer(f"cannot read the answer from {self.path}: {error!r}") from error


def query(**named: str | float | Sequence[str] | None) -> Query:
    """Return a query of what is given: None and what is empty are left out."""
    given = {name: value for name, value in named.items() if value is not None}
    return {name: _text(value) for name, value in given.items() if isinstance(value, int | float) or value}


def _text(value: str | float | Sequence[str]) -> str | Sequence[str]:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def image_part(name: str, image: ImageInput) -> dict[str, Part]:
    """Return the part of a body that is an image; the user's file name stays at home."""
    data = image_bytes(image)
    return {name: (name, data, media_type(data))}


def polygon_parts(layers: Mapping[str, Polygons | None]) -> dict[str, Part]:
    """Return the parts of a body that are polygons, of those layers that there are."""
    texts = {
        name: layer if isinstance(layer, bytes) else Path(layer).read_bytes()
        for name, layer in layers.items()
        if layer is not None
    }
    return {name: (name, text, "application/geo+json") for name, text in texts.items()}


def content(response: httpx.Response) -> bytes:
    """Read an answer that is a file."""
    return response.content


def read_problem(response: httpx.Response) -> Problem:
    """Return the error that `response` stands for, also where something before the gateway wrote it."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    status = response.status_code
    code = str(document.get("code", f"http-{status}"))
    kind = _kind(status, code)
    retry_after = response.headers.get("retry-after", "")
    limit = document.get("limit")
    return kind(
        status=status,
        code=code,
        title=str(document.get("title") or response.reason_phrase or f"HTTP {status}"),
        detail=str(document.get("detail", "")),
        request_id=document.get("request_id") or response.headers.get("x-request-id"),
        retryable=bool(document.get("retryable", kind is Busy)),
        retry_after=int(retry_after) if retry_after.isdecimal() else None,
        limit=limit if isinstance(limit, int) else None,
        pointer=_pointer(document.get("errors")),
    )


def _kind(status: int, code: str) -> type[Problem]:
    """Return the error that a status and a code stand for."""
    if code in _LOST:
        return SessionLost
    if status >= 500 or status == 429:
        return Busy if status in (429, 503) else Failed
    return Conflict if status == 409 else Rejected


def _pointer(errors: Any) -> str | None:
    """Return where the first of a problem's `errors` points, if it does."""
    first = errors[0] if isinstance(errors, list) and errors else None
    pointer = first.get("pointer") if isinstance(first, dict) else None
    return pointer if isinstance(pointer, str) else None
