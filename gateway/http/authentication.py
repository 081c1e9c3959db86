"""Who may call what, and how often: asked of every path under `/v1` and `/v2`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.keys import Tenants, check_scope, costs, scope_needed
from gateway.access.quotas import Account, Quotas
from gateway.errors import MaskgateError, Unavailable
from gateway.http.problems import problem


@dataclass(frozen=True)
class Authentication:
    """Finds out whose request it is, before it is routed and before its body is read.

    By the path alone, so that no route can be forgotten. Health, metrics, the page, the API's description and the
    problem types stay open. What needs a scope is counted against the caller's limits until its answer is sent.
    """

    app: ASGIApp
    tenants: Tenants
    quotas: Quotas
    tasks: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(("/v1/", "/v2/")):
            await self.app(scope, receive, send)
            return
        state = scope["state"]
        with ExitStack() as counted:
            try:
                state["scope"] = needed = scope_needed(scope["method"], scope["path"], self.tasks)
                state["caller"] = caller = self.tenants.of(_key(Headers(scope=scope)))
                state["tenant"] = caller.tenant
                check_scope(caller, needed)
                if costs(needed):
                    account = self.quotas.of(caller)
                    counted.enter_context(account.request())
                    send = _reporting(account, send)
            except MaskgateError as error:
                state["problem"] = error.code
                await problem(error, scope)(scope, receive, send)
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


def _key(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")


async def _tenant(request: Request) -> str:
    # A plain function would be run in a thread.
    tenant: str = request.scope["state"]["tenant"]
    return tenant


InjectedTenant = Annotated[str, Depends(_tenant)]
"""Whose request it is, for routes under `/v1` and `/v2`."""
