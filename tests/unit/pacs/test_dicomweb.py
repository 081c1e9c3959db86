from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import ValidationError

from gateway.errors import BodyTooLarge, MaskgateError, Overloaded, PacsFailed, ParameterInvalid, SeriesNotFound
from gateway.pacs.dicomweb import Dicomweb, check_uid
from gateway.settings import PacsSettings

T = TypeVar("T")
Handler = Callable[[httpx.Request], Any]

STUDY, SERIES = "1.2.840.77", "1.2.840.77.3"
FILES = [b"first", b"--drawn in the middle\r\n--drawn", b""]
RELATED = 'multipart/related; type="application/dicom"; boundary=drawn'


def enclosed(files: list[bytes]) -> bytes:
    parts = [b"--drawn\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files]
    return b"".join([b"\r\n", *parts, b"--drawn--"])


class Pieces(httpx.AsyncByteStream):
    """A body that arrives in pieces, as one does that comes over a network."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 7):
            yield self._content[start : start + 7]


def respond(content: bytes, status: int = 200, kind: str = RELATED, **headers: str) -> httpx.Response:
    return httpx.Response(status, stream=Pieces(content), headers={"Content-Type": kind, **headers})


def answering(status: int = 200, content: bytes = b"", kind: str = RELATED, **headers: str) -> Handler:
    return lambda request: respond(content, status, kind, **headers)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def server(handler: Handler, **settings: Any) -> Dicomweb:
    url = {"url": "https://pacs.example/dicom-web"}
    return Dicomweb(PacsSettings(**{**url, **settings}), httpx.MockTransport(handler))


async def fetched(link: Dicomweb, most: int = 1 << 20, count: int = 9, grow: Any = lambda size: None) -> list[bytes]:
    try:
        return [bytes(file) for file in await link.series(STUDY, SERIES, most, count, grow)]
    finally:
        await link.close()


async def kept(link: Dicomweb, files: list[bytes] = FILES) -> None:
    try:
        await link.store(STUDY, files)
    finally:
        await link.close()


def test_a_series_is_asked_for_as_it_was_stored_and_its_parts_come_back() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return respond(enclosed([b"one", b"\r\ntwo\r\n"]))

    sizes: list[int] = []
    assert run(fetched(server(handle, token="t0ken"), grow=sizes.append)) == [b"one", b"\r\ntwo\r\n"]
    assert sum(sizes) == len(enclosed([b"one", b"\r\ntwo\r\n"]))
    (request,) = seen
    assert str(request.url) == f"https://pacs.example/dicom-web/studies/{STUDY}/series/{SERIES}"
    assert request.headers["Accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/related; type="application/dicom"; boundary="drawn"',
        'Multipart/Related; start="<1>"; boundary=drawn; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"',
    ],
)
def test_servers_write_the_type_in_several_ways(kind: str) -> None:
    assert run(fetched(server(answering(content=enclosed([b"one", b"two"]), kind=kind)))) == [b"one", b"two"]


def test_a_user_has_a_password() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Basic bWU6c2VjcmV0"
        return respond(enclosed([b"one"]))

    assert run(fetched(server(handle, user="me", password="secret"))) == [b"one"]


NOT_A_SERIES: dict[str, tuple[Handler, type[MaskgateError], str]] = {
    "unknown": (answering(404), SeriesNotFound, "no such series"),
    "empty": (answering(204), SeriesNotFound, "no such series"),
    "no parts": (answering(content=b"--drawn--"), SeriesNotFound, "no file"),
    "locked": (answering(401), PacsFailed, "credentials"),
    "forbidden": (answering(403), PacsFailed, "credentials"),
    "broken": (answering(500, b"Zacharias Quillfeather"), PacsFailed, "status 500"),
    "elsewhere": (answering(302, Location="https://elsewhere.example/"), PacsFailed, "status 302"),
    "a page": (answering(content=b"<html>", kind="text/html"), PacsFailed, "files of a series"),
    "no boundary": (answering(content=b"x", kind="multipart/related"), PacsFailed, "files of a series"),
    "a long boundary": (answering(content=b"x", kind=RELATED + "x" * 300), PacsFailed, "files of a series"),
    "no multipart": (answering(content=b"DICM" * 99), PacsFailed, "malformed"),
    "cut off": (answering(content=enclosed([b"one" * 9])[:-20]), PacsFailed, "too early"),
}


@pytest.mark.parametrize("case", NOT_A_SERIES)
def test_what_is_no_series_is_told_and_nothing_of_what_the_server_said(case: str) -> None:
    handler, error, words = NOT_A_SERIES[case]
    with pytest.raises(error, match=words) as caught:
        run(fetched(server(handler)))
    assert "Quillfeather" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_more_is_taken_than_is_served() -> None:
    served = answering(content=enclosed([b"x" * 500] * 4))
    with pytest.raises(BodyTooLarge) as caught:
        run(fetched(server(served), most=1000))
    assert caught.value.limit == 1000
    with pytest.raises(BodyTooLarge) as caught:
        run(fetched(server(served), count=3))
    assert caught.value.limit == 3

    def full(size: int) -> None:
        raise Overloaded("The gateway is full.")

    with pytest.raises(Overloaded):
        run(fetched(server(served), grow=full))


def test_a_server_that_is_slow_or_away_has_failed() -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        async def trickle() -> AsyncIterator[bytes]:
            while True:
                yield b"\r\n"
                await asyncio.sleep(0.02)

        return httpx.Response(200, content=trickle(), headers={"Content-Type": RELATED})

    with pytest.raises(PacsFailed, match=r"longer than 0\.2"):
        run(fetched(server(slow, fetch_seconds=0.2)))

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"no way to {request.url}")

    for work in (fetched(server(away)), kept(server(away))):
        with pytest.raises(PacsFailed, match="cannot be reached") as caught:
            run(work)
        assert caught.value.__cause__ is None


def test_files_are_stored_in_one_request() -> None:
    bodies: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", f"/dicom-web/studies/{STUDY}")
        kind, boundary = request.headers["Content-Type"].split("; boundary=")
        assert kind == 'multipart/related; type="application/dicom"'
        parts = request.content.split(f"--{boundary}".encode())
        assert parts[-1] == b"--\r\n"
        assert int(request.headers["Content-Length"]) == len(request.content)
        bodies.extend(part.split(b"\r\n\r\n", 1)[1][:-2] for part in parts[1:-1])
        return httpx.Response(200)

    run(kept(server(handle)))
    assert bodies == FILES


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (409, b"{}"),
        (500, b""),
        (202, b'{"00081198": {"vr": "SQ", "Value": [{}]}}'),
        (200, b'[{"00081198": {"vr": "SQ", "Value": [{}]}}]'),
    ],
)
def test_files_that_are_not_taken_are_no_success(status: int, content: bytes) -> None:
    with pytest.raises(PacsFailed):
        run(kept(server(answering(status, content, "application/dicom+json"))))


@pytest.mark.parametrize("content", [b"", b"stored", b"[]", b'{"00081199": {"vr": "SQ", "Value": [{}]}}'])
def test_files_that_are_taken_are(content: bytes) -> None:
    run(kept(server(answering(200, content, "application/dicom+json"))))


@pytest.mark.parametrize("value", ["", "1..2", "1.2/../..", "1.2?x=1", "1" * 65, "1.2\n", "%31", "a.b"])
def test_what_is_no_uid_never_becomes_a_path(value: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        check_uid(value, "/study")
    assert caught.value.pointer == "/study"
    assert check_uid(STUDY, "/study") == STUDY


def test_nothing_of_a_study_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run(fetched(server(answering(content=enclosed([b"one"])))))
    assert STUDY not in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "ftp://pacs"},
        {"url": "https://me:secret@pacs"},
        {"url": "https://pacs/?key=1"},
        {"url": "https://pacs", "user": "me"},
        {"url": "https://pacs", "user": "me", "password": "x", "token": "y"},
        {"url": "http://pacs", "token": "y"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        PacsSettings(**settings)
    assert PacsSettings(url="http://127.0.0.1:8042/dicom-web", user="me", password="x").url
