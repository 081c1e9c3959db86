"""What happens around every request: its id, its metrics, its log lines, the last safety net, and how answers leave."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.keys import costs
from gateway.engines.base import Status
from gateway.errors import Forbidden, Internal, Unauthorised
from gateway.http.problems import ON_EVERY_ANSWER, problem
from gateway.observability import logs
from gateway.observability.metrics import Telemetry
from gateway.observability.tracing import exemplar

_log = logging.getLogger("gateway.access")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Ids of callers that are taken over."""

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
        request_id = offered if REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
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
                for name, value in ON_EVERY_ANSWER.items():
                    headers.setdefault(name, value)
                tally.status, tally.model = message["status"], headers.get("Maskgate-Model")
                if (location := headers.get("location")) is not None:
                    headers["Location"] = _relative(location, state.get("prefix", ""))
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
            try:
                self._record(scope, tally, time.perf_counter() - tally.start)
            except Exception as error:
                # What a caller may write is recorded nowhere, so this is a defect of ours; the answer is sent already.
                _log.error("request %s was not recorded: %s", request_id, logs.where(error))

    def _record(self, scope: Scope, tally: _Tally, seconds: float) -> None:
        state = scope["state"]
        entry = AuditEntry(
            request_id=state["request_id"],
            tenant=state.get("tenant"),
            scope=state.get("scope"),
            method=method_of(scope),
            route=route_of(scope),
            model=tally.model,
            status=tally.status,
            reason=state.get("problem"),
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
            seconds=round(seconds, 6),
        )
        if entry.is_audited and entry.model is None:
            entry = replace(entry, model=self._asked(scope))
        record(self.telemetry, entry)

    def _asked(self, scope: Scope) -> str | None:
        """Return the model that was asked for by name, where one of that name is served."""
        named = parse_qs(scope["query_string"].decode("latin-1")).get("model", [""])[0]
        name = scope.get("path_params", {}).get("model", named)
        return name if any(status.name == name for status in self.statuses()) else None


def _relative(location: str, prefix: str) -> str:
    """Return a link without a host: what stands there by itself is what the caller named in `Host`.

    A redirect goes from ``/path/`` to ``/path`` or the other way round; relative to where it comes from, it leads there
    behind a prefix of a proxy's too.
    """
    if location.startswith("/"):
        return prefix + location
    if not location.startswith(("http://", "https://")):
        return location
    to = urlsplit(location)
    last = to.path.rstrip("/").rpartition("/")[2]
    path = f"./{last}/" if to.path.endswith("/") else f"../{last}"
    return f"{path}?{to.query}" if to.query else path


def route_of(scope: Scope) -> str:
    """Return the template of the route that was found, or `unmatched`."""
    path: str = getattr(scope.get("route"), "path", "unmatched")
    return path


def method_of(scope: Scope) -> str:
    """Return the method, or `other` where it is none that HTTP defines."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"


_audit = logging.getLogger("gateway.audit")


@dataclass(frozen=True)
class AuditEntry:
    """What is known of a request that has ended.

    Of a task request under `/v1`, `/v2` or by gRPC, or one that was refused for its key, the audit log has a line.
    Nothing of what was sent is here: no pixels, names of files, paths, queries, keys or addresses. Every value is of a
    closed set or a number, but for the request's id, which is 64 characters of the caller's at most.

    Attributes:
        tenant: whose key it was; None: nobody's.
        scope: what a key needs for it, or `any`; None: the path is not known.
        route: the route's template; `unmatched` where it was not routed.
        model: which answered, or was asked for where it is one that is served.
        status: of the answer; 499: the caller left before it.
        reason: the code of the problem document, where that was the answer.
        bytes_in: of the body, as far as it was read.
        bytes_out: of the answer's body, as far as it was taken.
        seconds: from the first byte in to the last byte out.
    """

    request_id: str
    tenant: str | None
    scope: str | None
    method: str
    route: str
    model: str | None
    status: int
    reason: str | None
    bytes_in: int
    bytes_out: int
    seconds: float

    @property
    def is_audited(self) -> bool:
        """Whether it belongs in the audit log."""
        return costs(self.scope) or self.reason in _REFUSED_KEYS

    def write(self) -> None:
        """Write the line; what the entry does not have is not in it."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        _audit.info(
            "%s", " ".join(f"{name}={_shown(value)}" for name, value in fields.items()), extra={"fields": fields}
        )


def record(telemetry: Telemetry, entry: AuditEntry) -> None:
    """Count and log a request that has ended, in the audit log too where it belongs there."""
    telemetry.requests.labels(entry.route, entry.method, f"{entry.status // 100}xx").inc()
    telemetry.request_seconds.labels(entry.route, entry.method).observe(entry.seconds, exemplar())
    if entry.bytes_in:
        telemetry.body_bytes.labels(entry.route).observe(entry.bytes_in)
    if entry.reason:
        telemetry.rejected.labels(entry.reason).inc()
    fields = {
        "request_id": entry.request_id,
        "method": entry.method,
        "route": entry.route,
        "status": entry.status,
        "seconds": entry.seconds,
    } | ({"reason": entry.reason} if entry.reason else {})
    line = f"{entry.request_id} {entry.method} {entry.route} {entry.status} {entry.seconds * 1000:.1f} ms"
    _log.info("%s", f"{line} {entry.reason}" if entry.reason else line, extra={"fields": fields})
    if entry.is_audited:
        entry.write()


def _shown(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
