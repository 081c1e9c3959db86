"""The app over ASGI, called from ordinary test functions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from gateway.http.request_path import Services

T = TypeVar("T")


class AppClient:
    """Sends requests to an app that runs, lifespan and all, on an event loop of its own."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self.app = app
        self._portal = portal
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=60)

    @property
    def services(self) -> Services:
        """What the app is made of."""
        services: Services = self.app.state.services
        return services

    def sample(self, name: str, **labels: str) -> float:
        """Return the value of a metric, 0 where it has none yet."""
        return self.services.telemetry.registry.get_sample_value(name, labels) or 0.0

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
        """Return what `function` returns on the app's event loop."""
        result: T = self._portal.call(function, *arguments)
        return result

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.run(self._request, "GET", path, options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.run(self._request, "POST", path, options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.run(self._request, "DELETE", path, options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.run(self._request, method, path, options)

    def build(self, method: str, path: str, **options: Any) -> httpx.Request:
        """Return a request without sending it."""
        return self._http.build_request(method, path, **options)

    async def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        return await self._http.request(method, path, **options)


@contextmanager
def running(app: FastAPI) -> Iterator[AppClient]:
    """Run `app` until the context ends, its models loaded."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):

        async def loaded() -> None:
            await app.state.loading

        portal.call(loaded)
        yield AppClient(app, portal)
