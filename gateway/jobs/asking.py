"""A task's route, asked from inside: a job's item is the request that its caller would have sent.

So every task can be left as a job, and is admitted, priced, turned and cancelled as ever; no task knows of jobs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from starlette.types import ASGIApp, Message, Scope

from gateway.access.keys import Caller
from gateway.engines.remembering import Memory
from gateway.http.request_path import ASKED_WHETHER, MEMORY
from gateway.jobs.desk import Desk
from gateway.jobs.files import PIECE
from gateway.jobs.model import Request

_BOUNDARY = b"maskgate-job-3f1b9c0e5d7a42868f0c"
_END = b"--" + _BOUNDARY + b"--\r\n"


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those headers of an answer, by lower-case names, that say something of it, whoever fetches it."""
    return {name.title(): value for name, value in headers.items() if name.startswith("maskgate-")}


class Writable(Protocol):
    """What an answer is written to."""

    def write(self, piece: bytes | memoryview, /) -> int:
        """Take the next bytes."""


@dataclass(frozen=True)
class PartFile:
    """One part of a body: a file, or bytes."""

    name: str
    content: Path | bytes

    @property
    def head(self) -> bytes:
        """What stands before the part."""
        return b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="part"\r\n\r\n' % (
            _BOUNDARY,
            self.name.encode(),
        )

    @property
    def size(self) -> int:
        """Bytes of the part itself.

        Raises:
            OSError: the file is not there.
        """
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


@dataclass
class Answered:
    """What a route answered.

    Attributes:
        status: HTTP status.
        headers: by lower-case name.
        size: of the body, in bytes.
        digest: SHA-256 of the body, hexadecimal.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 0
    digest: str = ""


@dataclass(frozen=True)
class Asking:
    """Who asks.

    Attributes:
        app: with the routes of all tasks, and none of what stands before them.
        caller: for whom, and what its key opens.
        request_id: by which the request is known while it runs.
        whether: it is only asked whether such a request would be taken.
        memory: where what models answer is written down; None: nowhere.
    """

    app: ASGIApp
    caller: Caller
    request_id: str
    whether: bool = False
    memory: Memory | None = None

    async def ask(self, desk: Desk, request: Request, parts: Sequence[PartFile], into: Writable) -> Answered:
        """Return what a task's route answers, its body written to `into`.

        Raises:
            OSError: a part cannot be read, or the answer not written.
        """
        size = (
            await desk.disk(lambda: sum(len(part.head) + part.size + 2 for part in parts) + len(_END)) if parts else 0
        )
        body, answered, hashed = _body(desk, parts), Answered(), hashlib.sha256()

        async def receive() -> Message:
            async for piece in body:
                return {"type": "http.request", "body": piece, "more_body": bool(parts) and piece is not _END}
            # Whoever asks here does not hang up: it cancels.
            never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            return await never

        def take(piece: bytes | memoryview) -> None:
            into.write(piece)
            hashed.update(piece)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.status = message["status"]
                answered.headers = {
                    name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]
                }
            elif piece := message.get("body"):
                answered.size += len(piece)
                await desk.disk(take, piece)

        async with aclosing(body):
            await self.app(self._scope(request, size), receive, send)
        answered.digest = hashed.hexdigest()
        return answered

    async def objection(self, desk: Desk, request: Request) -> Mapping[str, Any] | None:
        """Return the problem document of a route that would answer nobody who asks like this, whatever the parts are.

        What is only so for now, such as a model that is not ready, is no objection.
        """
        said = _Buffer()
        answered = await replace(self, whether=True).ask(desk, request, [], said)
        if not 400 <= answered.status < 500:
            return None
        document: dict[str, Any] = json.loads(bytes(said.content))
        return document

    def _scope(self, request: Request, size: int) -> Scope:
        path = f"/v1/{request.task}"
        headers = {
            **({b"content-type": b"multipart/form-data; boundary=" + _BOUNDARY} if size else {}),
            b"content-length": str(size).encode(),
            **({b"accept": request.accept.encode("latin-1", "replace")} if request.accept else {}),
        }
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": request.query.encode("latin-1", "replace"),
            "headers": list(headers.items()),
            "client": None,
            "server": None,
            "state": {
                "request_id": self.request_id,
                "tenant": self.caller.tenant,
                "caller": self.caller,
                ASKED_WHETHER: self.whether,
                MEMORY: self.memory,
            },
        }


class _Buffer:
    """As much of a file as is written to."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, piece: bytes | memoryview, /) -> int:
        self.content += piece
        return len(piece)


def _opened(path: Path) -> BinaryIO:
    # Not in a thread: of one that is cancelled meanwhile nobody would close the file.
    return path.open("rb")


async def _body(desk: Desk, parts: Sequence[PartFile]) -> AsyncGenerator[bytes, None]:
    """Yield a multipart body, a piece at a time; the last one is `_END` itself. Without parts there is none."""
    for part in parts:
        yield part.head
        if isinstance(part.content, bytes):
            yield part.content
        else:
            with _opened(part.content) as file:
                while piece := await desk.disk(file.read, PIECE):
                    yield piece
        yield b"\r\n"
    yield _END if parts else b""
