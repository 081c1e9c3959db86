"""Routes that memoise what a query and `Accept` mean, which many requests have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import wraps
from inspect import signature
from types import MappingProxyType
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response

_MOST_KNOWN = 256
_LONGEST = 512

_OF_REQUEST: Mapping[str, Callable[[Request], Any]] = MappingProxyType(
    {
        "request": lambda request: request,
        "services": lambda request: request.app.state.services,
        "tenant": lambda request: request.scope["state"]["tenant"],
    }
)


class MemoisedRoute(APIRoute):
    """A route that memoises the arguments which FastAPI makes of a query: it takes as long for that as HTTP does.

    For functions that answer with a response of their own, and whose arguments follow from the query and `Accept`, but
    for `request`, `services`, `tenant` and what their path names. They change none of them. For tasks whose queries
    name no patient: what is memoised stays in memory.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        """Take a function whose parts of the path are text."""
        self._answer = endpoint
        self._known: dict[object, Mapping[str, Any]] = {}

        @wraps(endpoint)
        async def learn(**arguments: Any) -> Response:
            request: Request = arguments["request"]
            words = _words(request)
            if words is not None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                own = {*_OF_REQUEST, *request.path_params}
                self._known[words] = {name: value for name, value in arguments.items() if name not in own}
            return await endpoint(**arguments)

        self._asked = [name for name in signature(endpoint).parameters if name in _OF_REQUEST]
        super().__init__(path, learn, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        read_and_answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            known = self._known.get(_words(request))
            if known is None:
                return await read_and_answer(request)
            own = {name: _OF_REQUEST[name](request) for name in self._asked}
            return await self._answer(**own, **request.path_params, **known)

        return handle


def _words(request: Request) -> object:
    """Return what arguments follow from; None: it is longer than is kept."""
    query, accept = request.scope["query_string"], Headers(scope=request.scope).get("accept", "")
    return (request.app, query, accept) if len(query) + len(accept) <= _LONGEST else None
