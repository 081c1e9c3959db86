"""The edges of a connection: heads that dribble in or have no end, answers that nobody reads, bodies nobody waits for.

uvicorn bounds none of them; see `uvicorn/protocols/http/httptools_impl.py` for what is called here and when.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.errors import BadRequest, HeadTooLarge, MaskgateError
from gateway.http.problems import problem
from gateway.observability.metrics import Telemetry
from gateway.observability.place import Tally
from gateway.settings import ServerSettings

_LEAST_READ = 64 * 1024
"""Bytes that a caller reads in `send_seconds`, or else does not read."""

_MOST_DRAINED = 64 * 1024 * 1024
"""Bytes of a refused body that are taken off a connection before it is closed."""


def bounded_http(bounds: ServerSettings, telemetry: Telemetry, connections: Tally) -> type[HttpToolsProtocol]:
    """Return the HTTP protocol of a server whose connections keep to `bounds` and are counted in `connections`."""
    common = {"bounds": bounds, "telemetry": telemetry, "open_connections": connections}
    return type("BoundedHttp", (_BoundedHttp,), common)


class _BoundedHttp(HttpToolsProtocol):
    """One connection; uvicorn makes them, so what all have in common stands in the class."""

    bounds: ClassVar[ServerSettings]
    telemetry: ClassVar[Telemetry]
    open_connections: ClassVar[Tally]

    _waiting: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None
    _draining: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _unparsed_bytes = 0
    _drained_bytes = 0
    _hosts = 0
    _within = False
    """Whether a message has begun and not ended."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.open_connections.add(1)
        super().connection_made(cast(asyncio.Transport, _ClosedInTime(transport, self._close)))
        _tell_of_reading(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.add(-1)
        self._stop_waiting()
        self._stop_watching()
        if self._draining is not None:
            self._draining.cancel()
        if self._answered is not None:
            # Of pipelined requests uvicorn tells the last one alone, which has not begun.
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._draining is not None:
            self._drained_bytes += len(data)
            if self._drained_bytes > _MOST_DRAINED:
                self._end()
            return
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unparsed_bytes > self.bounds.header_bytes:
            self._refuse(self._too_large())
        elif self.cycle is None or self.cycle.response_complete:
            if self._within or self._unparsed_bytes:
                # From the first byte on, whatever it is: a head, or the rest of a body that was refused.
                self._await_head()
            else:
                # That was the rest: the connection is idle, and kept as long as any.
                self._stop_waiting()
                self._await_next()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    # What the parser finds

    def on_message_begin(self) -> None:
        self._within = True
        self._head_bytes = self._hosts = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # The trailers of a chunked body are headers to the parser, and count with them.
        self._count(len(name) + len(value) + len(": \r\n"))
        self._hosts += name.lower() == b"host"
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        self._stop_waiting()
        # RFC 9112, 3.2: one `Host`, which HTTP/1.0 need not have. With two, a proxy may have read the other.
        if self._hosts > 1 or (self._hosts < 1 and self.parser.get_http_version() != "1.0"):
            raise ValueError("a request has one host")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._within = False
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
        self._within = True
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

    def _await_next(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    # Callers who still send what nobody waits for

    def _close(self) -> None:
        """Close the connection, once what the caller still sends was taken off it.

        A system that closes a connection with bytes unread resets it, and the caller loses the answer that says why.
        """
        if self._draining is not None:
            return
        transport = self._connection
        if not self._within or transport.is_closing():
            transport.close()
            return
        self._stop_waiting()
        self._draining = self.loop.call_later(self.bounds.header_seconds, self._end)
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()

    def _end(self) -> None:
        self._connection.close()

    @property
    def _connection(self) -> asyncio.Transport:
        return cast(_ClosedInTime, self.transport).transport

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


class _ClosedInTime:
    """A transport whose `close` is another; to whoever asks it is closing from then on."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.transport = transport
        self._close = close
        self._closing = False

    def close(self) -> None:
        self._closing = True
        self._close()

    def is_closing(self) -> bool:
        return self._closing or self.transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def _tell_of_reading(transport: asyncio.Transport) -> None:
    """Have the system take no more than it can soon send.

    Else it takes megabytes for a slow reader, and after that nothing for so long that it cannot be told from one who
    does not read at all.
    """
    connection = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _LEAST_READ)
