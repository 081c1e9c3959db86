"""What holds for every address alike: keys, proxies' prefixes, the metrics' port, HEAD, unchanged answers, origins."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.keys import Tenants, check_scope, costs, scope_needed, takes_a_key
from gateway.access.quotas import Account, Quotas
from gateway.errors import Forbidden, MaskgateError, RouteNotFound, Unavailable
from gateway.http.problems import problem
from gateway.settings.server import PREFIX


@dataclass(frozen=True)
class BehindProxy:
    """Tells links what a proxy shows before our addresses, and takes that off paths that still have it.

    Paths are compared with our own before anything else sees them: a key is asked for by the path that is routed.
    """

    app: ASGIApp
    root_path: str
    trusted: Sequence[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http":
            scope.setdefault("state", {})["prefix"] = self._shown(scope) or self.root_path
            if self.root_path and f"{scope['path']}/".startswith(f"{self.root_path}/"):
                scope["path"] = scope["path"].removeprefix(self.root_path) or "/"
                scope["raw_path"] = scope["path"].encode()
        await self.app(scope, receive, send)

    def _shown(self, scope: Scope) -> str:
        """Return the prefix that a proxy says, where that is one to believe; else nothing."""
        named = Headers(scope=scope).getlist("x-forwarded-prefix")
        if len(named) != 1 or not PREFIX.fullmatch(named[0].rstrip("/")) or not self._trusts(scope.get("client")):
            return ""
        return named[0].rstrip("/")

    def _trusts(self, peer: tuple[str, int] | None) -> bool:
        if peer is None:
            return "unix" in self.trusted
        try:
            address = ipaddress.ip_address(peer[0].partition("%")[0])
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(network) for network in self.trusted if network != "unix")


_WATCHED = frozenset({"/metrics", "/healthz", "/readyz"})


@dataclass(frozen=True)
class OwnPort:
    """Keeps what is for the operator, and what is for callers, each to its port.

    The port is that of the socket that a request came in by, which no header tells.
    """

    app: ASGIApp
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http":
            own = (scope.get("server") or ("", None))[1] == self.port
            if scope["path"] not in _WATCHED if own else scope["path"] == "/metrics":
                await refuse(RouteNotFound("There is no such route on this port."), scope, receive, send)
                return
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Authentication:
    """Finds out whose request it is, before it is routed and before its body is read.

    By the path alone, so that no route can be forgotten. Health, the page, the API's description and the problem types
    stay open, and metrics where they have a port of their own. What needs a scope is counted against the caller's
    limits, if it has any, until its answer is sent.
    """

    app: ASGIApp
    tenants: Tenants
    quotas: Quotas
    tasks: frozenset[str]
    metrics: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or not takes_a_key(scope["path"], self.metrics):
            await self.app(scope, receive, send)
            return
        state = scope["state"]
        with ExitStack() as counted:
            try:
                state["scope"] = needed = scope_needed(scope["method"], scope["path"], self.tasks)
                state["caller"] = caller = self.tenants.of(key_of(Headers(scope=scope)))
                state["tenant"] = caller.tenant
                check_scope(caller, needed)
                if costs(needed) and caller.is_limited:
                    account = self.quotas.of(caller)
                    counted.enter_context(account.request())
                    send = _reporting(account, send)
            except MaskgateError as error:
                await refuse(error, scope, receive, send)
                return
            await self.app(scope, receive, send)


def _reporting(account: Account, send: Send) -> Send:
    """Return a `send` that tells callers with limits what is left of them."""

    async def report(message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] == Unavailable.status:
                account.give_back()
            MutableHeaders(scope=message).update(account.headers())
        await send(message)

    return report


def key_of(headers: Headers) -> str | None:
    """Return the key that a request carries; None: it has none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")


_ROUTED = ("route", "path_params", "endpoint")
# Models, their cards and configurations, tasks, the API's description: what is asked for again and again.
_KEPT = re.compile(r"/openapi\.json|/v1/(tasks|models(/[^/]+)?)|/v2/?|/v2/models/[^/]+(/versions/[^/]+)?(/config)?")


@dataclass(frozen=True)
class Reading:
    """Answers HEAD as GET without a body, and says where what a caller has is what there still is.

    Below `heads` routes answer HEAD themselves.
    """

    app: ASGIApp
    heads: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(self.heads):
            await self.app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        whole = _Whole() if _KEPT.fullmatch(scope["path"]) else None
        out = _without_body(send) if scope["method"] == "HEAD" else send
        try:
            await self.app(asked, receive, out if whole is None else whole.take)
        finally:
            scope.update({name: asked[name] for name in _ROUTED if name in asked})
        if whole is not None:
            await whole.answer(Headers(scope=scope).get("if-none-match"), out)


@dataclass
class _Whole:
    """An answer held back until it is known."""

    start: Message = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    async def take(self, message: Message) -> None:
        """Keep a message."""
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    async def answer(self, known: str | None, send: Send) -> None:
        """Send it; without its body where it is one of those that are `known`."""
        headers = MutableHeaders(scope=self.start)
        if self.start["status"] == 200:
            tag = f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'
            headers["ETag"] = tag
            headers.setdefault("Cache-Control", "private, no-cache")
            if known is not None and ("*" in known.split(",") or tag in re.findall(r'"[^"]*"', known)):
                self.start["status"] = 304
                self.body.clear()
                for name in ("content-length", "content-type"):
                    del headers[name]
        await send(self.start)
        await send({"type": "http.response.body", "body": bytes(self.body)})


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


class CrossOrigin(CORSMiddleware):
    """Lets pages of other origins call, by their browsers' rules.

    Without credentials of the browser's own: a key is sent by the page, in a header that it may name.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        """Let pages of `origins` use whatever there is."""
        super().__init__(
            app, origins, ("GET", "HEAD", "POST", "DELETE"), allow_headers=("*", "Authorization"), expose_headers=("*",)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "origin" in headers and "access-control-request-method" in headers and scope["method"] == "OPTIONS":
            answer = self.preflight_response(headers)
            if answer.status_code != 200:
                await refuse(Forbidden("Pages of this origin may not ask so."), scope, receive, send)
                return
            answer = Response(status_code=204, headers={k: v for k, v in answer.headers.items() if k not in _OF_A_BODY})
            await answer(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


_OF_A_BODY = frozenset({"content-length", "content-type"})


async def refuse(error: MaskgateError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `error` without a route."""
    scope["state"]["problem"] = error.code
    await problem(error, scope)(scope, receive, send)
