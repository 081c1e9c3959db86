"""The edges of a connection: heads that dribble in or have no end, and answers that nobody reads.

uvicorn bounds neither; see `uvicorn/protocols/http/httptools_impl.py` for what is called here and when.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from contextlib import suppress
from typing import ClassVar

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.errors import BadRequest, HeadTooLarge, MaskgateError
from gateway.http.problems import problem
from gateway.observability.metrics import Telemetry
from gateway.settings import ServerSettings

_LEAST_READ = 64 * 1024
"""Bytes that a caller reads in `send_seconds`, or else does not read."""


def bounded_http(bounds: ServerSettings, telemetry: Telemetry) -> type[HttpToolsProtocol]:
    """Return the HTTP protocol of a server whose connections keep to `bounds`."""
    return type("BoundedHttp", (_BoundedHttp,), {"bounds": bounds, "telemetry": telemetry})


class _BoundedHttp(HttpToolsProtocol):
    """One connection; uvicorn makes them, so what all have in common stands in the class."""

    bounds: ClassVar[ServerSettings]
    telemetry: ClassVar[Telemetry]

    _waiting: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None
    _head_bytes = 0
    _unparsed_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _tell_of_reading(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_watching()
        if self._answered is not None:
            # Of pipelined requests uvicorn tells the last one alone, which has not begun.
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unparsed_bytes > self.bounds.header_bytes:
            self._refuse(self._too_large())
        elif self.cycle is None or self.cycle.response_complete:
            # From the first byte on, whatever it is: a head, or the rest of a body that was refused.
            self._await_head()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    # What the parser finds

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # The trailers of a chunked body are headers to the parser, and count with them.
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: any caller may offer HTTP/2 or a WebSocket, and is answered in plain HTTP/1.1."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed; the parser stops there too where a bound was passed."""
        too_large = self._head_bytes > self.bounds.header_bytes
        self._refuse(self._too_large() if too_large else BadRequest("The request is not HTTP as it should be."))

    def _count(self, amount: int) -> None:
        self._head_bytes += amount
        if self._head_bytes > self.bounds.header_bytes:
            raise ValueError("the head is too large")

    def _too_large(self) -> MaskgateError:
        limit = self.bounds.header_bytes
        return HeadTooLarge(f"The request line and the header fields may have {limit} bytes.", limit=limit)

    def _refuse(self, error: MaskgateError) -> None:
        """Answer `error` without the app, and close: what follows on this connection has no meaning."""
        answer = problem(error, {"path": "", "state": {"request_id": uuid.uuid4().hex}})
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        lines = [STATUS_LINE[error.status], *(b"%s: %s\r\n" % header for header in headers), b"\r\n"]
        self.telemetry.connections_cut.labels(error.code).inc()
        self.transport.write(b"".join([*lines, answer.body]))
        self.transport.close()
        self._watch()

    # Callers who do not send

    def _await_head(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.bounds.header_seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _head_is_late(self) -> None:
        self._cut("slow-head")

    # Callers who do not read

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one that has not even been read to its end at once."""
        if self.transport.get_write_buffer_size():
            self._cut("slow-reader")
        else:
            super().timeout_keep_alive_handler()

    def _watch(self) -> None:
        """Look whether the caller reads, until it has read everything."""
        self._stop_watching()
        left = self.transport.get_write_buffer_size()
        self._sending = self.loop.call_later(self.bounds.send_seconds, self._look, left)

    def _look(self, left: int) -> None:
        if left - self.transport.get_write_buffer_size() < min(left, _LEAST_READ):
            self._cut("slow-reader")
        else:
            self._watch()

    def _stop_watching(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _cut(self, reason: str) -> None:
        self.telemetry.connections_cut.labels(reason).inc()
        self.transport.abort()


def _tell_of_reading(transport: asyncio.Transport) -> None:
    """Have the system take no more than it can soon send.

    Else it takes megabytes for a slow reader, and after that nothing for so long that it cannot be told from one who
    does not read at all.
    """
    connection = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _LEAST_READ)
