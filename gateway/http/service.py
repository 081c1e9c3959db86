"""The routes of the service itself: health, metrics, tasks, models and cards, progress, and the refresh of models."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS

from gateway.engines.base import Status, VersionStatus, check_tried
from gateway.errors import ModelNotFound
from gateway.http.answers import (
    ModelAnswer,
    ModelCardAnswer,
    ModelsAnswer,
    ProgressAnswer,
    Readiness,
    RefreshAnswer,
    TasksAnswer,
    model_answer,
    task_answer,
)
from gateway.http.documentation import problems
from gateway.http.parameters import accepts_gzip
from gateway.http.request_path import InjectedServices, InjectedTenant, Services
from gateway.settings import Settings

router = APIRouter(tags=["service"])


@router.get(
    "/v1/progress/{request_id}",
    summary="How far is a running request?",
    responses=problems({404: "No such request of this caller runs in this process."}),
)
async def progress(
    request_id: str, services: InjectedServices, tenant: InjectedTenant, response: Response
) -> ProgressAnswer:
    """Return how far the caller's own running request is. Its id is the one it sent.

    curl -H 'X-Request-ID: mine-1' -F image=@series.zip http://127.0.0.1:8080/v1/ct -o report.json &
    curl http://127.0.0.1:8080/v1/progress/mine-1
    """
    timeline = services.progress.of(tenant, request_id)
    response.headers["Cache-Control"] = "private, no-store"
    return ProgressAnswer(stage=timeline.stage, done=timeline.done, total=timeline.total)


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> dict[str, str]:
    """Return as long as the event loop turns; says nothing of models."""
    return {"status": "alive"}


@router.get("/readyz", summary="Should requests be sent here?", responses={503: {"model": Readiness}})
async def readyz(services: InjectedServices, response: Response) -> Readiness:
    """Return 200 while models answer and the process is not draining, else 503.

    Every model of the repository was tried then, and the models that the settings require are ready; where they name
    none, the default model of each task that there are models of.
    """
    standing = readiness(services)
    if not standing.ready:
        response.status_code = 503
    return standing


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def metrics(request: Request, services: InjectedServices) -> Response:
    """Return the metrics in Prometheus' text format, or as OpenMetrics where that is accepted.

    Compressed where that is accepted. In a thread: adding up many processes takes its time.
    """
    if "application/openmetrics-text" in request.headers.get("accept", ""):
        told, kind = services.telemetry.openmetrics(), OPENMETRICS
    else:
        told, kind = services.telemetry.exposition(), CONTENT_TYPE_PLAIN_0_0_4
    headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        told = gzip.compress(told, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(told, headers=headers)


@router.get("/v1/tasks", summary="Which tasks are there, and what do they take and answer with?")
async def tasks(services: InjectedServices) -> TasksAnswer:
    """Return every task: its parts, its media types, and which model answers where none is named."""
    specs, models = services.settings.registry.tasks, services.settings.models
    return TasksAnswer(tasks=[task_answer(spec, models.named(name)) for name, spec in specs.items()])


@router.get("/v1/models", summary="Which models are there, and how do they stand?")
async def models(services: InjectedServices) -> ModelsAnswer:
    """Return every model folder, the faulty ones with the reason."""
    return ModelsAnswer(
        models=[
            ModelAnswer(**model_answer(status).model_dump(exclude={"card"})) for status in services.engine.statuses()
        ]
    )


@router.get("/v1/models/{model}", summary="One model and its card", responses={404: {"description": "Problem"}})
async def model_card(model: str, services: InjectedServices) -> ModelCardAnswer:
    """Return one model's standing and its card: data, figures, licence, limitations."""
    for status in services.engine.statuses():
        if status.name == model:
            return model_answer(status)
    check_tried(services.engine)
    raise ModelNotFound("No model of that name is in the repository; GET /v1/models lists them.")


@router.post(
    "/v1/repository/refresh",
    summary="Take in what has changed in the model repository",
    responses={503: {"description": "The repository cannot be read; what was served still is"}},
)
async def refresh(services: InjectedServices) -> RefreshAnswer:
    """Load what is new or changed, drop what is gone, and return which models that were.

    Answers when all of it is done; requests are served meanwhile, and those in flight end on the model they began
    with. Where the gateway runs as several processes, the others begin when this one is done. What cannot be served in
    its new form stays as it was and is named under `failed`.

    For operators: whoever may call this makes the gateway read and load whatever lies in the repository. A key with
    scopes needs `admin` for it; where keys have none, or there are none, let no proxy pass it on to the outside.
    """
    refreshed = await services.engine.refresh()
    services.refreshes.add(1)
    return RefreshAnswer(
        added=list(refreshed.added),
        changed=list(refreshed.changed),
        removed=list(refreshed.removed),
        failed=dict(refreshed.failed),
    )


def readiness(services: Services) -> Readiness:
    """Return whether requests should be sent here, and how each model stands."""
    statuses = services.engine.statuses()
    return Readiness(
        ready=services.engine.tried and _serves(services.settings, statuses) and not services.admission.draining,
        draining=services.admission.draining,
        engine=services.engine.name,
        transport=services.engine.transport,
        models={status.name: _with_reason(status) for status in statuses},
        versions={status.name: {v.model.version: _with_reason(v) for v in status.versions} for status in statuses},
    )


def _serves(settings: Settings, statuses: Sequence[Status]) -> bool:
    """Return whether the models stand without which nothing should be sent here.

    Those that the settings require; else, of each task that the repository has models of, the one that answers where
    none is named. A name that is no model's, as that of an ensemble, stands where any model of its task does.
    """
    ready = {status.name for status in statuses if status.state == "ready"}
    if settings.models.required:
        return ready >= set(settings.models.required)

    def stands(task: str) -> bool:
        default = settings.models.named(task)
        states = [s.state for s in statuses if s.name == default]
        states = states or [s.state for s in statuses if s.model is not None and s.model.card.task == task]
        return not states or "ready" in states

    return bool(ready) and all(map(stands, settings.registry.tasks))


def _with_reason(standing: Status | VersionStatus) -> str:
    return f"{standing.state}: {standing.reason}" if standing.reason else standing.state
