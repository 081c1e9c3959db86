"""`/v1/uploads`: the tus protocol, and what breaks off."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.jobs import files
from tests.support.app_client import AppClient
from tests.support.jobs import BYTES, ended, upload, waste
from tests.support.leaving import Message, converse, scope_of
from tests.support.pictures import encode, noise

PHOTO = encode(noise(64, 64))


@pytest.fixture
def keeper(start: Callable[..., AppClient], tmp_path: Path) -> AppClient:
    return start(jobs={"folder": tmp_path}, limits={"upload_stall_seconds": 0.5})


def begin(client: AppClient, length: int) -> str:
    answer = client.post("/v1/uploads", headers={"Upload-Length": str(length), "Tus-Resumable": "1.0.0"})
    assert (answer.status_code, answer.headers["Tus-Resumable"]) == (201, "1.0.0")
    return answer.headers["Location"]


def go_on(client: AppClient, path: str, offset: int, content: bytes, **headers: str) -> httpx.Response:
    return client.request("PATCH", path, content=content, headers={**BYTES, "Upload-Offset": str(offset), **headers})


def offset_of(client: AppClient, path: str) -> int:
    answer = client.request("HEAD", path)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    return int(answer.headers["Upload-Offset"])


def test_what_is_spoken_is_told(keeper: AppClient) -> None:
    answer = keeper.request("OPTIONS", "/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) >= {"creation", "termination", "checksum", "expiration"}
    assert answer.headers["Tus-Max-Size"] == str(keeper.services.settings.limits.body_bytes)


def test_an_upload_goes_on_where_it_ends(keeper: AppClient) -> None:
    path = begin(keeper, len(PHOTO))
    assert keeper.request("HEAD", path).headers["Upload-Length"] == str(len(PHOTO))
    sent = 0
    for piece in (PHOTO[:100], PHOTO[100:101], PHOTO[101:]):
        assert offset_of(keeper, path) == sent
        answer = go_on(keeper, path, sent, piece)
        sent += len(piece)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(sent))
        assert answer.headers["Upload-Expires"].endswith("GMT")
    job = ended(keeper, keeper.post("/v1/jobs", json=waste(path.rpartition("/")[2])))
    online = keeper.post("/v1/waste", files={"image": PHOTO})
    assert keeper.get(job["items"][0]["result"]["url"]).content == online.content


def test_large_uploads_are_written_piece_by_piece(
    keeper: AppClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = b"0123456789" * 300_000
    written: list[int] = []
    add = files.Receiving.add

    def noting(self: files.Receiving, piece: bytes) -> None:
        written.append(len(piece))
        add(self, piece)

    monkeypatch.setattr(files.Receiving, "add", noting)
    incoming = iter(
        [
            {"type": "http.request", "body": content[at : at + 65_536], "more_body": at + 65_536 < len(content)}
            for at in range(0, len(content), 65_536)
        ]
    )

    async def receive() -> Message:
        return next(incoming)

    path = begin(keeper, len(content))
    request = httpx.Request("PATCH", f"http://gateway{path}", headers={**BYTES, "Upload-Offset": "0"})
    converse(keeper, receive, scope_of(request))
    assert offset_of(keeper, path) == len(content)
    assert max(written) <= files.PIECE + 65_536
    assert (tmp_path / "uploads" / path.rpartition("/")[2]).read_bytes() == content


def interrupted(keeper: AppClient, path: str, **headers: str) -> None:
    """Send the first 1000 bytes of the photograph to an upload, and hang up."""
    incoming: Iterator[Message] = iter(
        [{"type": "http.request", "body": PHOTO[:1000], "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(incoming)

    request = httpx.Request("PATCH", f"http://gateway{path}", headers={**BYTES, "Upload-Offset": "0", **headers})
    converse(keeper, receive, scope_of(request))


def test_what_arrived_before_the_caller_left_is_kept(keeper: AppClient) -> None:
    path = begin(keeper, len(PHOTO))
    interrupted(keeper, path)
    assert offset_of(keeper, path) == 1000
    assert go_on(keeper, path, 1000, PHOTO[1000:]).status_code == 204


def test_with_a_checksum_it_is_all_or_nothing(keeper: AppClient) -> None:
    path = begin(keeper, len(PHOTO))
    right = {"Upload-Checksum": f"sha256 {b64encode(hashlib.sha256(PHOTO).digest()).decode()}"}
    interrupted(keeper, path, **right)
    assert offset_of(keeper, path) == 0
    wrong = go_on(keeper, path, 0, PHOTO[:-1] + b"x", **right)
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["retryable"]) == (460, "checksum-wrong", True)
    assert offset_of(keeper, path) == 0
    assert go_on(keeper, path, 0, PHOTO, **right).status_code == 204
    for odd in ("crc32 AAAA", "sha256 ***", "sha256", "sha256 A"):
        assert go_on(keeper, path, len(PHOTO), b"", **{"Upload-Checksum": odd}).status_code == 400


def test_a_stalled_upload_is_let_go_and_kept(keeper: AppClient) -> None:
    path = begin(keeper, len(PHOTO))
    first: list[Message] = [{"type": "http.request", "body": PHOTO[:1000], "more_body": True}]
    said: list[Message] = []

    async def receive() -> Message:
        if first:
            return first.pop()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: Message) -> None:
        said.append(message)

    request = httpx.Request("PATCH", f"http://gateway{path}", headers={**BYTES, "Upload-Offset": "0"})
    converse(keeper, receive, scope_of(request), send)
    assert said[0]["status"] == 408
    assert offset_of(keeper, path) == 1000


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"Upload-Offset": "1"}, PHOTO, 409, "upload-moved"),
        ({"Upload-Offset": "-1"}, PHOTO, 400, "bad-request"),
        ({"Upload-Offset": ""}, PHOTO, 400, "bad-request"),
        ({"Upload-Offset": "0"}, PHOTO + b"x", 409, "upload-moved"),
        ({"Upload-Offset": "0", "Content-Type": "image/png"}, PHOTO, 415, "unsupported-media"),
        ({"Upload-Offset": "0", "Tus-Resumable": "0.2.2"}, PHOTO, 412, "upload-version"),
    ],
)
def test_what_does_not_fit_is_refused(
    keeper: AppClient, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    path = begin(keeper, len(PHOTO))
    answer = keeper.request("PATCH", path, content=content, headers=BYTES | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert offset_of(keeper, path) == 0


def test_more_than_a_request_may_have_is_refused(keeper: AppClient) -> None:
    most = keeper.services.settings.limits.body_bytes
    answer = keeper.post("/v1/uploads", headers={"Upload-Length": str(most + 1)})
    assert (answer.status_code, answer.json()["limit"]) == (413, most)
    assert keeper.post("/v1/uploads").status_code == 400


def test_two_cannot_write_at_once(keeper: AppClient, tmp_path: Path) -> None:
    path = begin(keeper, len(PHOTO))
    held = files.Receiving(tmp_path / "uploads" / path.rpartition("/")[2], 0, len(PHOTO))
    try:
        answer = go_on(keeper, path, 0, PHOTO)
        assert (answer.status_code, answer.json()["code"]) == (423, "upload-busy")
    finally:
        held.end(whole=True)
    assert go_on(keeper, path, 0, PHOTO).status_code == 204


def test_an_upload_is_given_up(keeper: AppClient, tmp_path: Path) -> None:
    path = f"/v1/uploads/{upload(keeper, PHOTO)}"
    assert keeper.delete(path).status_code == 204
    assert keeper.request("HEAD", path).status_code == 404
    assert keeper.delete(path).status_code == 404
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_a_job_is_to_read_nobody_changes(keeper: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(*_: Any) -> Any:
        await asyncio.Event().wait()

    one = upload(keeper, PHOTO)
    with monkeypatch.context() as patched:
        patched.setattr(keeper.services.engine, "infer", endless)
        left = keeper.post("/v1/jobs", json=waste(one))
        path = f"/v1/uploads/{one}"
        assert go_on(keeper, path, len(PHOTO), b"").status_code == 423
        assert keeper.delete(path).status_code == 423
        keeper.delete(left.headers["Location"])
        ended(keeper, left)
    assert keeper.request("HEAD", path).status_code == 404, "what nobody is to read any more is gone"
