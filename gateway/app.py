"""Wiring: settings → engine → routers → middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from gateway import __version__
from gateway.api import damage, oip, problems, repository, service
from gateway.api.middleware import RequestContext
from gateway.api.services import Services
from gateway.engines.base import Engine
from gateway.engines.embedded import EmbeddedEngine
from gateway.engines.triton import TritonEngine
from gateway.ops.admission import Admission
from gateway.ops.telemetry import Telemetry
from gateway.ops.workers import Workers
from gateway.settings import Settings

_DESCRIPTION = """Trained vision models as a service. Send images, get masks back.

Coordinates are (x, y) pixels, origin top left, after EXIF orientation. Errors are RFC 9457 problem
documents whose `type` can be fetched here. The models are research demonstrations; read their cards.
"""


def create_app(settings: Settings) -> FastAPI:
    """Return the gateway as an ASGI app.

    Models load while the app already answers `/healthz` and `/readyz`; the task that
    loads them is `app.state.loading`.
    """
    telemetry = Telemetry()
    services = Services(
        settings=settings,
        telemetry=telemetry,
        admission=Admission(settings.limits.inflight_requests, settings.limits.inflight_bytes, telemetry),
        workers=Workers(settings.work.threads, _turns(settings)),
        engine=_engine(settings, telemetry),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with telemetry.watch_loop():
            app.state.loading = loading = asyncio.create_task(services.engine.start(), name="load-models")
            yield
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            await services.engine.close()
            services.workers.close()

    app = FastAPI(title="Maskgate", version=__version__, description=_DESCRIPTION, lifespan=lifespan)
    app.state.services = services
    app.add_middleware(RequestContext, telemetry=telemetry)
    problems.install(app)
    for router in (damage.router, oip.router, service.router, repository.router, problems.router):
        app.include_router(router)
    return app


def _turns(settings: Settings) -> int:
    per_thread = 8 if settings.engine.kind == "triton" else 1
    return settings.work.turns or settings.work.threads * per_thread


def _engine(settings: Settings, telemetry: Telemetry) -> Engine:
    root, engine = settings.models.repository, settings.engine
    if engine.kind == "triton":
        return TritonEngine(
            root, engine.triton_url, engine.triton_shared_memory, engine.triton_inflight_bytes, telemetry
        )
    return EmbeddedEngine(root, engine.provider, engine.lanes, telemetry, engine.watch_seconds)
