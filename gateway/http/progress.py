"""`GET /v1/progress/{request_id}`: how far a running request is."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from gateway.http.documentation import problems
from gateway.http.request_path import InjectedServices, InjectedTenant
from gateway.scheduling.timeline import Stage

router = APIRouter(tags=["service"])


class ProgressAnswer(BaseModel):
    """How far a request is."""

    stage: Stage = Field(description="What began last; stages overlap", examples=["infer"])
    done: int = Field(description="Slices of a CT, tiles of other images", examples=[120])
    total: int | None = Field(description="null: not known yet", examples=[300])


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
