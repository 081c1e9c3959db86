"""A store that gives out ranges of files, and misbehaves as it is told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


@dataclass
class RangeStore:
    """What a store holds, how it misbehaves, and what it was asked for.

    Attributes:
        address: of its root.
        files: content by path.
        ill: by path, what is wrong: ``whole`` (no ranges), ``short`` (breaks off), ``long`` (more than was asked for),
            ``shifted`` (another range), ``grown`` (its length changes), ``changing`` (its ETag does), ``gzip``,
            ``stall`` (half of it, then nothing), ``stall later`` (once the head was read), ``drip`` (headers that never
            end), or an address that it redirects to.
        asked: paths, in order.
        sent: bytes of bodies.
        ended: ends what stalls.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ill: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ClassVar[RangeStore]

    def do_GET(self) -> None:
        store, (path, _, query) = self.store, self.path.partition("?")
        store.asked.append(self.path)
        wrong, data = store.ill.get(path, ""), store.files.get(path)
        if "/" in wrong:
            self._answer(307, {"Location": wrong}, b"")
            return
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        if data is None or asked is None or (path.startswith("/s3/") and "X-Amz-Signature" not in query):
            self._answer(403 if data else 404, {}, b"")
            return
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(data))
        body, etag, length = data[start:stop], f'"{hash(data):x}"', len(data)
        if wrong == "stall later":
            wrong = "stall" if start else ""
        if wrong == "changing":
            etag = f'"{len(store.asked)}"'
        if wrong == "grown":
            length += 1000 * len(store.asked)
        if wrong == "long":
            body += b"x" * 4000
        if wrong == "shifted":
            start, stop = start + 1, stop + 1
        if self.headers.get("If-Match", etag) != etag:
            self._answer(412, {}, b"")
            return
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{length}", "ETag": etag}
        if wrong == "gzip":
            headers["Content-Encoding"] = "gzip"
        if wrong == "whole":
            self._answer(200, {}, data)
        else:
            self._answer(206, headers, body, wrong)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, wrong: str = "") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if wrong == "drip":
            self.flush_headers()
            while not self.store.ended.wait(0.05):
                self.wfile.write(b"X-More: 1\r\n")
            self.close_connection = True
            return
        self.end_headers()
        if wrong in ("short", "stall"):
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
        self.store.sent += len(body)
        if wrong == "stall":
            self.wfile.flush()
            self.store.ended.wait(20)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: callers hang up on what misbehaves."""


@contextmanager
def range_store() -> Iterator[RangeStore]:
    """Yield a store that runs until the context ends."""

    class Handler(_Handler):
        store = RangeStore()

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        Handler.store.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield Handler.store
        finally:
            Handler.store.ended.set()
            server.shutdown()
            thread.join()
