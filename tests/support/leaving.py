"""Callers who hang up, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx

from tests.support.app_client import AppClient

Message = MutableMapping[str, Any]


def scope_of(request: httpx.Request) -> dict[str, Any]:
    """Return the ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "query_string": b"",
        "root_path": "",
        "headers": [(k.lower(), v) for k, v in request.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": ("gateway", 80),
    }


async def _ignore(message: Message) -> None:
    pass


def converse(
    client: AppClient,
    messages: Callable[[], Awaitable[Message]],
    scope: dict[str, Any],
    send: Callable[[Message], Awaitable[None]] = _ignore,
) -> None:
    """Run one request whose incoming messages come from `messages` and whose answer goes to `send`."""

    async def run() -> None:
        await asyncio.wait_for(client.app(scope, messages, send), 10)

    client.run(run)


def whole_then_gone(body: bytes, until: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[Message]]:
    """Return a `receive` that brings the whole body at once and, after `until`, the caller's leave."""
    messages: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        for message in messages:
            return message
        await until()
        return {"type": "http.disconnect"}

    return receive
