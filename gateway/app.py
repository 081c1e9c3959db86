"""Wiring: settings → engine → routers → middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig

from gateway import __version__
from gateway.access.keys import Tenants
from gateway.access.quotas import Quotas
from gateway.engines.base import Engine
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.engines.triton.engine import TritonEngine
from gateway.engines.watch import follow
from gateway.http import console, description, problems, service
from gateway.http.description import DescribedApi
from gateway.http.edges import Authentication, BehindProxy, CrossOrigin, OwnPort, Reading
from gateway.http.middleware import AnswersInPieces, RequestContext
from gateway.http.parameters import only_declared
from gateway.http.request_path import Services
from gateway.http.tracing import Tracing
from gateway.jobs import route as jobs
from gateway.jobs import tiles, uploads
from gateway.jobs.desk import Desk
from gateway.jobs.foreman import Foreman
from gateway.jobs.runner import Runner
from gateway.observability.metrics import Telemetry
from gateway.observability.place import Place, tallies
from gateway.observability.tracing import Tracer
from gateway.oip import management, rpc
from gateway.oip import route as oip
from gateway.pacs.dicomweb import Dicomweb
from gateway.scheduling.admission import Admission
from gateway.scheduling.lanes import Turns
from gateway.scheduling.memory import keep_freed
from gateway.scheduling.prices import Prices
from gateway.scheduling.queue import Queue
from gateway.scheduling.threads import MeteredThreads
from gateway.scheduling.timeline import ProgressBoard
from gateway.scheduling.workers import LanedThreads, Workers
from gateway.sessions.features import FeatureStore, MemoryFeatures, Shelf
from gateway.sessions.store import MemorySessions, SessionStore
from gateway.settings import SessionSettings, Settings
from gateway.stores.ranges import Stores

# What FastAPI by itself would tell a collector has paths, queries and the words of exceptions in it.
_SILENT: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}

# They mostly wait for stores.
_STORE_THREADS = 4


def create_app(settings: Settings, place: Place | None = None) -> FastAPI:
    """Return the gateway as an ASGI app.

    Models load while the app already answers `/healthz` and `/readyz`; the task that
    loads them is `app.state.loading`. One of several processes starts when they are loaded:
    the others answer meanwhile.

    Args:
        settings: in force in this process.
        place: which of several processes this is; None where it is alone.
    """
    telemetry, together = Telemetry(place), tallies(place)
    tracer = _tracer(settings, telemetry)
    kept, features = _sessions(settings.sessions, len(settings.auth.keys), telemetry)
    work, limits = settings.work, settings.limits
    count = _turns(settings)
    turns = Turns(count, work.bulk_every, extra=max(1, count // 8))
    queue = Queue(turns, work.turn_seconds, telemetry)
    services = Services(
        settings=settings,
        telemetry=telemetry,
        admission=Admission(
            limits.inflight_requests, limits.inflight_bytes, limits.queue_seconds, queue, Prices(), telemetry, together
        ),
        workers=Workers(LanedThreads("worker", work.threads, telemetry)),
        engine=_engine(settings, telemetry),
        sessions=kept,
        features=features,
        progress=ProgressBoard(),
        refreshes=together.refreshes,
        pacs=None if settings.pacs.url is None else Dicomweb(settings.pacs),
        stores=Stores(settings.jobs.stores, MeteredThreads("store", max(_STORE_THREADS, work.threads), telemetry)),
    )

    server, tenants, quotas = settings.server, Tenants(settings.auth.by_tenant()), Quotas()
    desk = Desk(settings.jobs, settings.auth.by_tenant()) if settings.jobs.folder else None
    tasks_alone = _tasks_alone(services) if desk is not None else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        keep_freed(settings.work.kept_bytes)
        async with telemetry.watch_loop():
            app.state.loading = loading = asyncio.create_task(services.engine.start(), name="load-models")
            tasks = [loading]
            if place:
                tasks.append(asyncio.create_task(follow(together.refreshes, services.engine.refresh), name="follow"))
                await asyncio.wait({loading})
            if desk is not None and tasks_alone is not None:
                tasks.append(asyncio.create_task(_foreman(desk, services, tasks_alone).run(), name="jobs"))
            async with rpc.serving(services, tenants, quotas, tracer) if server.grpc_port else nullcontext():
                yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if desk is not None:
                desk.close()
            await services.engine.close()
            await services.sessions.close()
            if services.pacs is not None:
                await services.pacs.close()
            await services.stores.close()
            services.workers.close()
            if tracer is not None:
                await tracer.close()

    app = DescribedApi(
        version=__version__,
        lifespan=lifespan,
        telemetry=_SILENT,
    )
    app.state.services, app.state.jobs, app.state.tasks = services, desk, tasks_alone
    # The one added last is the outermost.
    if desk is not None:
        app.add_middleware(jobs.RespondAsync, services=services, desk=desk)
    app.add_middleware(Reading, heads=uploads.PREFIX)
    app.add_middleware(
        Authentication,
        tenants=tenants,
        quotas=quotas,
        tasks=frozenset(settings.registry.tasks),
        metrics=server.metrics_port is None,
    )
    if server.metrics_port is not None:
        app.add_middleware(OwnPort, port=server.metrics_port)
    if server.cors_origins:
        app.add_middleware(CrossOrigin, origins=server.cors_origins)
    app.add_middleware(RequestContext, telemetry=telemetry, statuses=services.engine.statuses)
    app.add_middleware(AnswersInPieces)
    app.add_middleware(BehindProxy, root_path=server.root_path, trusted=server.trusted_proxies)
    if tracer is not None:
        app.add_middleware(Tracing, tracer=tracer)
    problems.install(app)
    protocol = (management.router, oip.router)
    left = (jobs.router, tiles.router, uploads.router)
    own = (service.router, problems.router, description.router, console.router)
    for router in (*settings.registry.routers(), *protocol, *left, *own):
        app.include_router(router, dependencies=[Depends(only_declared)])
    return app


def _tasks_alone(services: Services) -> FastAPI:
    """Return the tasks' routes without what stands before them: by them the items of jobs are answered."""
    app = FastAPI(openapi_url=None, telemetry=_SILENT)
    app.state.services = services
    problems.install(app)
    for router in services.settings.registry.routers():
        app.include_router(router, dependencies=[Depends(only_declared)])
    return app


def _foreman(desk: Desk, services: Services, tasks: FastAPI) -> Foreman:
    """Return who sees to jobs; what hands them on to Temporal is imported only where it does."""
    if desk.settings.engine == "embedded":
        return Runner(desk, services, tasks)
    from gateway.jobs.temporal import TemporalForeman

    return TemporalForeman(desk, services)


def _tracer(settings: Settings, telemetry: Telemetry) -> Tracer | None:
    """Return what traces go to; where that is nothing, what makes and sends them is not even imported."""
    if settings.tracing.endpoint is None:
        return None
    from gateway.observability.otlp import OtlpTracer

    return OtlpTracer(settings.tracing, telemetry)


def _turns(settings: Settings) -> int:
    threads = settings.work.threads
    # Some more than can be computed at once, since between two steps a request waits for the event loop; each more
    # makes emergencies wait longer.
    return settings.work.turns or (8 * threads if settings.engine.kind == "triton" else 3 * threads // 2)


def _engine(settings: Settings, telemetry: Telemetry) -> Engine:
    root, engine, check = settings.models.repository, settings.engine, settings.registry.check
    if engine.kind == "triton":
        return TritonEngine(
            root, engine.triton_url, engine.triton_shared_memory, engine.triton_inflight_bytes, telemetry, check
        )
    return EmbeddedEngine(
        root, engine.provider, engine.lanes, telemetry, engine.watch_seconds, check, engine.idle_seconds
    )


def _sessions(settings: SessionSettings, tenants: int, telemetry: Telemetry) -> tuple[SessionStore, FeatureStore]:
    share = settings.tenant_bytes or (settings.bytes // 2 if tenants > 1 else settings.bytes)
    if settings.url is None:
        kept = MemoryFeatures(settings.bytes, telemetry)
        return MemorySessions(settings.idle_seconds, kept, share), kept
    # To load what speaks to Redis takes a tenth of a second and 7 MiB, which few who keep sessions here would want.
    from gateway.sessions.redis_link import RedisLink
    from gateway.sessions.redis_store import RedisFeatures, RedisSessions

    link = RedisLink(
        settings.url.get_secret_value(),
        settings.connections,
        settings.timeout_seconds,
        settings.bytes,
        settings.idle_seconds,
        telemetry,
        share,
    )
    near: Shelf[str, object] = Shelf(settings.local_bytes, moved=telemetry.session_bytes.inc)
    return RedisSessions(link, near), RedisFeatures(link, near, telemetry)
