"""Triton's extensions of the protocol that operators use: the repository's index, loading, unloading, statistics.

https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.errors import BadRequest, BodyTooLarge, Unprocessable
from gateway.http.documentation import problems
from gateway.http.request_path import InjectedServices
from gateway.inference.statistics import as_json
from gateway.oip import served

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_LONGEST = 64 * 1024
_NOT_THERE = {404: "No such model, or no such version of it."}


class _Asked(BaseModel):
    """The body of a call; all of it may be absent."""

    model_config = ConfigDict(strict=True)

    ready: bool | None = None
    parameters: dict[str, Any] | None = None


@router.post("/repository/index", summary="What is in the model repository", responses=problems({}))
async def index(request: Request, services: InjectedServices) -> list[dict[str, str]]:
    """Return every version of every model and how it stands; with `{"ready": true}` those that answer alone."""
    asked = await _asked(request)
    return [asdict(entry) for entry in served.index(services, bool(asked.ready))]


@router.post("/repository/models/{model}/load", summary="Load a model", responses=problems(_NOT_THERE))
async def load(request: Request, services: InjectedServices, model: str) -> dict[str, Any]:
    """Bring what is served in line with the repository, as `POST /v1/repository/refresh` does, this model above all.

    Answers when it is ready. Models are as they lie in the repository: neither a configuration nor files are taken.
    """
    if (await _asked(request)).parameters:
        raise Unprocessable("Models are loaded as they lie in the repository, without parameters.")
    await served.load(services, model)
    return {}


@router.post("/repository/models/{model}/unload", summary="Unload a model", responses=problems(_NOT_THERE))
async def unload(request: Request, services: InjectedServices, model: str) -> dict[str, Any]:
    """Serve a model no more, until it is loaded or the gateway starts anew; 501 where it runs as several processes."""
    await _asked(request)
    await served.unload(services, model)
    return {}


@router.get("/models/stats", summary="Statistics of all models")
@router.get("/models/{model}/versions/{version}/stats", summary="A model's statistics")
@router.get("/models/{model}/stats", summary="A model's statistics")
async def statistics(
    services: InjectedServices, model: str | None = None, version: str | None = None
) -> dict[str, Any]:
    """Return how many requests to infer there were under `/v2` and by gRPC, and where their time went.

    Of the process that answers, and since it started.
    """
    models = served.versions(services, model, version)
    return {"model_stats": [as_json(each, services.statistics.of(each)) for each in models]}


async def _asked(request: Request) -> _Asked:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise BodyTooLarge(f"The body may have {_LONGEST} bytes.", limit=_LONGEST, headers={"Connection": "close"})
    try:
        return _Asked.model_validate_json(body) if body.strip() else _Asked()
    except ValidationError as error:
        raise BadRequest("The body is not the JSON of such a call.") from error
