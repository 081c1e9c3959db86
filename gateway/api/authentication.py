"""Who may call: every path under `/v1` and `/v2` asks for a key, where keys are configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.problems import problem
from gateway.errors import Unauthorised
from gateway.ops.tenants import Tenants


@dataclass(frozen=True)
class Authentication:
    """Finds out whose request it is, before it is routed and before its body is read.

    By the path alone, so that no route can be forgotten. Health, metrics, the page, the API's description and the
    problem types stay open.
    """

    app: ASGIApp
    tenants: Tenants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and f"{scope['path']}/".startswith(("/v1/", "/v2/")):
            try:
                scope["state"]["tenant"] = self.tenants.of(_key(Headers(scope=scope)))
            except Unauthorised as error:
                scope["state"]["problem"] = error.code
                await problem(error, scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _key(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")


def _tenant(request: Request) -> str:
    tenant: str = request.scope["state"]["tenant"]
    return tenant


InjectedTenant = Annotated[str, Depends(_tenant)]
"""Whose request it is, for routes under `/v1` and `/v2`."""
