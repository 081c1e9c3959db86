"""`/v2`: the Open Inference Protocol with Triton's binary tensor extension, over whatever engine is wired.

https://github.com/open-inference-protocol/open-inference-protocol and, for the binary
tensors and the model configuration, Triton's protocol extensions of those names.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway.errors import BadRequest
from gateway.http.documentation import BINARY, body
from gateway.http.request_path import InjectedServices, Job, model_headers, serve_admitted
from gateway.http.service import readiness
from gateway.http.uploads import read_body
from gateway.oip import served
from gateway.oip.answers import SERVER, infer_answer, model_config, model_metadata
from gateway.oip.request import read_request
from gateway.oip.served import find
from gateway.repository.card import Card
from gateway.scheduling.admission import Reservation
from gateway.scheduling.prices import Kind
from gateway.settings import LimitSettings

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_HEADER_LENGTH = "Inference-Header-Content-Length"
_MODEL = "/models/{model}"
_VERSION = "/models/{model}/versions/{version}"
_BODY = body({"application/json": {"schema": {"type": "object"}}, "application/octet-stream": BINARY})
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs: as JSON numbers, or after the JSON in binary where that was asked for.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    **{
        status: {"description": meaning}
        for status, meaning in {
            400: "The request is malformed.",
            401: "Where keys are configured: no key, or none that is known.",
            403: "The key lacks the scope `infer`.",
            404: "No such model or version.",
            413: "The body or its JSON is over its limit; `limit` says which.",
            415: "The body is compressed.",
            422: "Names, types, shapes, batch or values do not fit the model's card.",
            429: "The key's own limits are used up; see `Retry-After` and `RateLimit`.",
            503: "Overloaded, draining, the model is not ready, or the answer would come after its deadline; see "
            "`Retry-After`.",
            504: "The deadline passed.",
        }.items()
    },
}


@router.get("/", include_in_schema=False)
@router.get("", summary="Server metadata")
async def server() -> dict[str, Any]:
    """Return name, version and extensions."""
    return SERVER


@router.get("/health/live", summary="Is the process alive?")
async def live() -> dict[str, bool]:
    """Return as long as the event loop turns."""
    return {"live": True}


@router.get("/health/ready", summary="Should requests be sent here?")
async def ready(services: InjectedServices) -> JSONResponse:
    """Return 200 or 503 as `/readyz` does."""
    is_ready = readiness(services).ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get(_VERSION, summary="Model metadata")
@router.get(_MODEL, summary="Model metadata")
async def metadata(services: InjectedServices, model: str, version: str | None = None) -> dict[str, Any]:
    """Return the tensors of a model; -1 is the batch."""
    found = find(services, model, version)
    return model_metadata(found.model.card, found.versions)


@router.get(f"{_VERSION}/ready", summary="Is the model ready?")
@router.get(f"{_MODEL}/ready", summary="Is the model ready?")
async def model_ready(services: InjectedServices, model: str, version: str | None = None) -> JSONResponse:
    """Return 200 where the model answers requests, else 503."""
    is_ready = find(services, model, version).ready
    return JSONResponse({"name": model, "ready": is_ready}, 200 if is_ready else 503)


@router.get(f"{_VERSION}/config", summary="Triton's model configuration")
@router.get(f"{_MODEL}/config", summary="Triton's model configuration")
async def config(services: InjectedServices, model: str, version: str | None = None) -> dict[str, Any]:
    """Return what clients of Triton plan their requests by: tensors and the largest batch."""
    return model_config(find(services, model, version).model.card)


@router.post(f"{_VERSION}/infer", summary="Infer", openapi_extra=_BODY, responses=_RESPONSES, response_class=Response)
@router.post(f"{_MODEL}/infer", summary="Infer", openapi_extra=_BODY, responses=_RESPONSES, response_class=Response)
async def infer(request: Request, services: InjectedServices, model: str, version: str | None = None) -> Response:
    """Return a model's outputs for a batch of tensors.

    Worked example, with a tile in `tile.rgb` (544 × 544 × 3 bytes) and a model of one input; the answer begins with
    as many bytes of JSON as its header `Inference-Header-Content-Length` says, and goes on with the label map:

        curl --data-binary @tile.rgb -H 'Inference-Header-Content-Length: 0' \\
             http://127.0.0.1:8080/v2/models/bd-fcn/infer -o answer
    """
    chosen = find(services, model, version).to_infer()
    header_length = _header_length(request)

    async def read(request: Request, limits: LimitSettings, reservation: Reservation) -> bytearray:
        return await read_body(request, _narrowed(limits, chosen.card), reservation)

    async def answer(job: Job[bytearray]) -> Response:
        with services.statistics.counted(chosen, job.timeline) as counted:
            async with job.turn():
                asked = await job.run(
                    "decode", read_request, job.body, header_length, chosen.card, services.settings.limits.json_bytes
                )
                job.reservation.expect(asked.batch)
                job.reservation.grow(asked.bytes_to_hold())
                inputs = await job.run("decode", asked.tensors, job.body)
            outputs = await served.infer(job, chosen, asked, inputs)
            async with job.turn():
                answered = await job.run("encode", infer_answer, asked, chosen, outputs)
            counted.items += asked.batch
        headers = model_headers(chosen)
        if answered.header_length is None:
            return Response(answered.body, headers=headers, media_type="application/json")
        headers[_HEADER_LENGTH] = str(answered.header_length)
        return Response(answered.body, headers=headers, media_type="application/octet-stream")

    return await serve_admitted(services, request, Kind("infer", chosen.name), read, answer)


def _header_length(request: Request) -> int | None:
    value = request.headers.get(_HEADER_LENGTH)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        raise BadRequest(f"{_HEADER_LENGTH} is not a number.")
    return int(value)


def _narrowed(limits: LimitSettings, card: Card) -> LimitSettings:
    """Return `limits` with no more body than the model's largest batch and its JSON can have."""
    largest = limits.json_bytes + card.max_batch_size * sum(spec.bytes_per_item() for spec in card.inputs)
    return limits.model_copy(update={"body_bytes": min(limits.body_bytes, largest)})
