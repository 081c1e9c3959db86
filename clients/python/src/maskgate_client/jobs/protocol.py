"""The HTTP contract of jobs and uploads, without HTTP."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from maskgate_client.call import JSON, Call, content
from maskgate_client.errors import Problem, UnexpectedAnswer, Unreachable
from maskgate_client.jobs.answers import JobItem, JobResult, JobStatus, read_items, read_status, status_of
from maskgate_client.jobs.flow import Flow
from maskgate_client.progress import Progress, Tell
from maskgate_client.tasks.ct.protocol import ct_bytes
from maskgate_client.tasks.interactive.prompts import Prompt

T = TypeVar("T")

PIECE = 8 * 1024 * 1024
"""Bytes of an upload that are sent at once, and again where they did not arrive."""

_BYTES = "application/offset+octet-stream"
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_FIRST_LOOK, _LONGEST_LOOK = 0.2, 2.0
_PAGE = 500
_STORES = ("https://", "http://", "s3://")


def submit(
    task: str,
    items: Sequence[Mapping[str, Any]],
    *,
    accept: str | None = None,
    idempotency_key: str | None = None,
    progress: Tell | None = None,
    **parameters: Any,
) -> Flow[JobStatus]:
    """Leave a job: one task, asked of each item in the same way.

    Args:
        task: its name.
        items: the parts of each, by the names that the task gives them: a path, bytes or pixels as `ImageInput`, or
            the path of a folder of DICOM files, which are uploaded; an address in a store that the gateway may read,
            ``https://…`` or ``s3://…``; or plain JSON values or a `Prompt`.
        accept: media type of the answers; by default the task's own choice.
        idempotency_key: by which the same job is left once, however often it is asked for; by default a new one.
        progress: is told of the items whose parts are with the gateway.
        parameters: of the task's query, such as `model`, `version` and `include`.
    """
    key = idempotency_key or uuid4().hex
    given = []
    for number, item in enumerate(items):
        parts = {}
        for name, value in item.items():
            parts[name] = yield from _source(value)
        given.append({"parts": parts})
        if progress:
            progress(Progress("send", number + 1, len(items)))
    chosen = {name: _plain(value) for name, value in parameters.items() if value is not None}
    body = {"task": task, "items": given, "accept": accept or "", "parameters": chosen}
    left: JobStatus = yield from _again(
        Call("POST", "/v1/jobs", JSON, read_status, json=body, statuses=(202,), headers={"Idempotency-Key": key})
    )
    return left


def upload(data: bytes) -> Flow[str]:
    """Upload something in pieces, each of which is sent again where it did not arrive; return its id."""
    length = {"Upload-Length": str(len(data)), "Tus-Resumable": "1.0.0"}
    path: str = yield from _again(Call("POST", "/v1/uploads", "*/*", _location, statuses=(201,), headers=length))
    offset, tries = 0, 0
    while offset < len(data):
        piece = data[offset : offset + PIECE]
        headers = {
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {b64encode(sha256(piece).digest()).decode()}",
            "Content-Type": _BYTES,
            "Tus-Resumable": "1.0.0",
        }
        try:
            offset = yield Call("PATCH", path, "*/*", _offset, content=piece, statuses=(204,), headers=headers)
            tries = 0
        except (Unreachable, Problem) as error:
            # Perhaps it arrived, and only the answer did not.
            if tries >= len(_PAUSES) or (isinstance(error, Problem) and not error.retryable):
                raise
            yield _PAUSES[tries]
            tries += 1
            offset = yield from _again(Call("HEAD", path, "*/*", _offset))
    return path.rpartition("/")[2]


def job(id: str) -> Call[JobStatus]:
    """Return how the job of an id stands."""
    return Call("GET", _path(id), JSON, read_status, params={"count": "0"})


def jobs() -> Call[tuple[JobStatus, ...]]:
    """Return the caller's newest jobs, the newest first."""
    return Call("GET", "/v1/jobs", JSON, lambda response: tuple(map(status_of, response.json()["jobs"])))


def items(id: str) -> Flow[tuple[JobItem, ...]]:
    """Return how each item of a job stands."""
    found: list[JobItem] = []
    more: str | None = f"{_path(id)}?count={_PAGE}"
    while more:
        page, more = yield from _again(Call("GET", more, JSON, read_items))
        found += page
    return tuple(found)


def wait(id: str, *, progress: Tell | None = None) -> Flow[JobStatus]:
    """Return how a job stands once it has ended; a gateway that is away for a while is waited for."""
    pause = _FIRST_LOOK
    while True:
        status: JobStatus = yield from _again(job(id))
        if progress:
            progress(Progress("items", status.done + status.failed + status.cancelled, status.total))
        if status.over:
            return status
        yield pause
        pause = min(_LONGEST_LOOK, 1.5 * pause)


def fetch(result: JobResult) -> Flow[bytes]:
    """Return the bytes of a result.

    Raises:
        UnexpectedAnswer: they are not those that were stored.
    """
    data: bytes = yield from _again(Call("GET", result.url, "*/*", content))
    if f"sha256:{sha256(data).hexdigest()}" != result.digest:
        raise UnexpectedAnswer(f"{result.url} is not what was stored")
    return data


def status(id: str) -> Flow[JobStatus]:
    """Return how a job stands."""
    found: JobStatus = yield from _again(job(id))
    return found


def cancel(id: str) -> Flow[JobStatus | None]:
    """Return how a job stands that is to end now; None: it had ended, and is forgotten."""

    def read(response: httpx.Response) -> JobStatus | None:
        return None if response.status_code == 204 else read_status(response)

    found: JobStatus | None = yield Call("DELETE", _path(id), "*/*", read, statuses=(200, 204))
    return found


def events(id: str, last: str | None) -> Call[None]:
    """Return the stream of what changes of a job, from an event on."""
    headers = {"Last-Event-ID": last} if last else {}
    return Call("GET", f"{_path(id)}/events", "text/event-stream", lambda _: None, headers=headers)


def _again(call: Call[T]) -> Flow[T]:
    """Return the answer to a call that is sent again where none came: a gateway that restarts is away for seconds."""
    for pause in (*_PAUSES, None):
        try:
            answer: T = yield call
            return answer
        except Unreachable:
            if pause is None:
                raise
            yield pause
    raise AssertionError("the last try ends it")


def _source(value: Any) -> Flow[dict[str, Any]]:
    """Return where the gateway finds a part, once it does."""
    if isinstance(value, Prompt):
        return {"json": value.document()}
    if isinstance(value, Mapping | list):
        return {"json": json.loads(json.dumps(value, allow_nan=False))}
    if isinstance(value, str) and value.startswith(_STORES):
        return {"url": value}
    return {"upload": (yield from upload(ct_bytes(value)[0]))}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _path(id: str) -> str:
    return f"/v1/jobs/{quote(id, safe='')}"


def _location(response: httpx.Response) -> str:
    return httpx.URL(response.headers["location"]).path


def _offset(response: httpx.Response) -> int:
    return int(response.headers["upload-offset"])
