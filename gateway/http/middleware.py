"""What happens around every request: its id, its metrics, its log lines, the last safety net, and how answers leave."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.audit import AuditEntry
from gateway.access.scopes import costs
from gateway.engines.base import Status
from gateway.errors import Forbidden, Internal, Unauthorised
from gateway.http.problems import problem
from gateway.observability import logs
from gateway.observability.metrics import Telemetry
from gateway.observability.tracing import exemplar

_log = logging.getLogger("gateway.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REFUSED_KEYS = frozenset({Unauthorised.code, Forbidden.code})
_PIECE = 256 * 1024


@dataclass(frozen=True)
class AnswersInPieces:
    """Hands a large body to the server piece by piece, so that its caller's reading sets the pace.

    A server buffers what it is given whole, and says at once that it was sent: what a slow reader has not read would
    be held where nobody counts it.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""

        async def send_pieces(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= _PIECE:
                await send(message)
                return
            view, more = memoryview(body), message.get("more_body", False)
            for start in range(0, len(view), _PIECE):
                end = start + _PIECE
                await send({**message, "body": view[start:end], "more_body": more or end < len(view)})

        await self.app(scope, receive, send_pieces)


@dataclass
class _Tally:
    """What is known of a request when it ends."""

    start: float
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    model: str | None = None


@dataclass(frozen=True)
class RequestContext:
    """Gives each request an id, and counts and logs its end.

    The log line holds the route's template, never the path, a file name or a query. Task requests, and those refused
    for their key, have a line in the audit log too.
    """

    app: ASGIApp
    telemetry: Telemetry
    statuses: Callable[[], Sequence[Status]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        logs.request_id.set(request_id)
        tally = _Tally(time.perf_counter())

        async def count_in() -> Message:
            message = await receive()
            tally.bytes_in += len(message.get("body", b""))
            return message

        async def mark_out(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                tally.status, tally.model = message["status"], headers.get("Maskgate-Model")
            await send(message)
            tally.bytes_out += len(message.get("body", b""))

        try:
            await self.app(scope, count_in, mark_out)
        except Exception as error:
            stack = logs.where(error)
            _log.error("request %s failed: %s", request_id, stack, extra={"fields": {"stack": stack}})
            state["problem"] = Internal.code
            if tally.status:
                raise
            answer = problem(Internal("The gateway failed; its log has the request id."), scope)
            await answer(scope, count_in, mark_out)
        finally:
            self._record(scope, tally, time.perf_counter() - tally.start)

    def _record(self, scope: Scope, tally: _Tally, seconds: float) -> None:
        state, route, method = scope["state"], route_of(scope), method_of(scope)
        reason = state.get("problem")
        self.telemetry.requests.labels(route, method, f"{tally.status // 100}xx").inc()
        self.telemetry.request_seconds.labels(route, method).observe(seconds, exemplar())
        if tally.bytes_in:
            self.telemetry.body_bytes.labels(route).observe(tally.bytes_in)
        if reason:
            self.telemetry.rejected.labels(reason).inc()
        fields = {
            "request_id": state["request_id"],
            "method": method,
            "route": route,
            "status": tally.status,
            "seconds": round(seconds, 6),
        } | ({"reason": reason} if reason else {})
        line = f"{state['request_id']} {method} {route} {tally.status} {seconds * 1000:.1f} ms"
        _log.info("%s", f"{line} {reason}" if reason else line, extra={"fields": fields})
        needed = state.get("scope")
        if costs(needed) or reason in _REFUSED_KEYS:
            entry = AuditEntry(
                request_id=state["request_id"],
                tenant=state.get("tenant"),
                scope=needed,
                method=method,
                route=route,
                model=tally.model or self._asked(scope),
                status=tally.status,
                reason=reason,
                bytes_in=tally.bytes_in,
                bytes_out=tally.bytes_out,
                seconds=round(seconds, 6),
            )
            entry.write()

    def _asked(self, scope: Scope) -> str | None:
        """Return the model that was asked for by name, where one of that name is served."""
        named = parse_qs(scope["query_string"]).get(b"model", [b""])[0].decode("latin-1")
        name = scope.get("path_params", {}).get("model", named)
        return name if any(status.name == name for status in self.statuses()) else None


def route_of(scope: Scope) -> str:
    """Return the template of the route that was found, or `unmatched`."""
    path: str = getattr(scope.get("route"), "path", "unmatched")
    return path


def method_of(scope: Scope) -> str:
    """Return the method, or `other` where it is none that HTTP defines."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"
