"""A span around every request that tasks and engines may work for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.middleware import method_of, route_of
from gateway.observability.tracing import Tracer, within


@dataclass(frozen=True)
class Tracing:
    """Begins or continues a trace with each request under `/v1` and `/v2`; probes and scrapes would drown those."""

    app: ASGIApp
    tracer: Tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(("/v1/", "/v2/")):
            # Of one connection, a request may begin in the context that another one has left.
            with within(None):
                await self.app(scope, receive, send)
            return
        status = 0

        async def mark_out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = method_of(scope)
        span = self.tracer.begin(method, Headers(scope=scope).getlist("traceparent"))
        with within(span):
            try:
                await self.app(scope, receive, mark_out)
            finally:
                route, problem = route_of(scope), scope["state"].get("problem")
                told: dict[str, str | int] = {"http.request.method": method, "http.route": route}
                if status:
                    told["http.response.status_code"] = status
                if problem:
                    told["maskgate.problem"] = problem
                span.name(f"{method} {route}", told)
