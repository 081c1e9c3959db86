"""What happens around every request: its id, its metrics, its log line, and the last safety net."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.problems import problem
from gateway.errors import Internal
from gateway.ops import logs
from gateway.ops.telemetry import Telemetry
from gateway.ops.tracing import exemplar

_log = logging.getLogger("gateway.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True)
class RequestContext:
    """Gives each request an id, and counts and logs its end.

    The log line holds the route's template, never the path, a file name or a query.
    """

    app: ASGIApp
    telemetry: Telemetry

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
        status = 0
        body_bytes = 0
        start = time.perf_counter()

        async def count_in() -> Message:
            nonlocal body_bytes
            message = await receive()
            body_bytes += len(message.get("body", b""))
            return message

        async def mark_out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, count_in, mark_out)
        except Exception as error:
            stack = logs.where(error)
            _log.error("request %s failed: %s", request_id, stack, extra={"fields": {"stack": stack}})
            state["problem"] = Internal.code
            if status:
                raise
            answer = problem(Internal("The gateway failed; its log has the request id."), scope)
            await answer(scope, count_in, mark_out)
        finally:
            self._record(scope, status, body_bytes, time.perf_counter() - start)

    def _record(self, scope: Scope, status: int, body_bytes: int, seconds: float) -> None:
        route, method = route_of(scope), method_of(scope)
        self.telemetry.requests.labels(route, method, f"{status // 100}xx").inc()
        self.telemetry.request_seconds.labels(route, method).observe(seconds, exemplar())
        if body_bytes:
            self.telemetry.body_bytes.labels(route).observe(body_bytes)
        reason = scope["state"].get("problem")
        if reason:
            self.telemetry.rejected.labels(reason).inc()
        _log.info(
            "%s %s %s %d %.1f ms%s",
            scope["state"]["request_id"],
            method,
            route,
            status,
            seconds * 1000,
            f" {reason}" if reason else "",
        )


def route_of(scope: Scope) -> str:
    """Return the template of the route that was found, or `unmatched`."""
    path: str = getattr(scope.get("route"), "path", "unmatched")
    return path


def method_of(scope: Scope) -> str:
    """Return the method, or `other` where it is none that HTTP defines."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"
