"""`/v1/jobs`: leave work, follow it, fetch what came of it, cancel it."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import MaskgateError, ResultNotFound
from gateway.http.documentation import problems
from gateway.http.problems import PROBLEM_JSON, problem
from gateway.http.request_path import InjectedServices, InjectedTenant, Services
from gateway.jobs.desk import Desk, InjectedDesk
from gateway.jobs.model import Job
from gateway.jobs.schema import (
    JobAnswer,
    JobGiven,
    JobsAnswer,
    JobWithItems,
    item_answer,
    job_answer,
    job_with_items,
    schema_of,
)
from gateway.jobs.submission import IDEMPOTENCY_KEY, Refused, Submission

router = APIRouter(tags=["jobs"])

_NEWEST = 100
_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 2
_MOST_CHANGES = 200
_CURSOR = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})")
_NOT_STORED = {"Cache-Control": "private, no-store"}
_OFF = {501: "The gateway keeps no jobs."}
NOT_FOUND = {404: "No such job of this caller.", **_OFF}
"""What every address of a job may answer."""

_KEY = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "Sent again with the same body, the request answers with the job that it left first.",
}
_BODY = {"application/json": {"schema": schema_of(JobGiven)}}


@router.post(
    "/v1/jobs",
    status_code=202,
    summary="Leave a job: one task, asked of many inputs",
    response_class=Response,
    openapi_extra={"requestBody": {"required": True, "content": _BODY}, "parameters": [_KEY]},
    responses={
        202: {"model": JobAnswer, "description": "The job; `Location` names it."},
        **problems(
            {
                400: "The body is not JSON, or a header is malformed.",
                404: "An upload or a model is not there.",
                406: "`Accept` names nothing that the task produces.",
                409: "An upload is not finished.",
                413: "The job has more items, or more text, than one may.",
                422: "The job is not one that the task takes, or the key stood for another.",
                **_OFF,
            }
        ),
    },
)
async def leave(request: Request, services: InjectedServices, desk: InjectedDesk) -> Response:
    """Leave a job, and return it; what the task would refuse of every item, it refuses at once.

    Worked example, of an image that was uploaded and is known by its id:

        curl -X POST http://127.0.0.1:8080/v1/jobs -H 'Content-Type: application/json' -d '{"task": "waste",
             "accept": "application/json", "items": [{"parts": {"image": {"upload": "ID"}}}]}'
    """
    return await _left(request, Submission(services, desk, request.app.state.tasks, request).given)


@router.get("/v1/jobs", summary="Which jobs has the caller left?", responses=problems(_OFF))
async def jobs(desk: InjectedDesk, tenant: InjectedTenant, response: Response) -> JobsAnswer:
    """Return the caller's newest jobs, the newest first, a hundred at most."""
    response.headers.update(_NOT_STORED)
    return JobsAnswer(jobs=[job_answer(job) for job in await desk.books(desk.store.jobs, tenant, _NEWEST)])


async def _job(desk: InjectedDesk, tenant: InjectedTenant, job: str) -> Job:
    return await desk.books(desk.store.job, tenant, job)


InjectedJob = Annotated[Job, Depends(_job)]


@router.get("/v1/jobs/{job}", summary="How does a job stand, and each of its items?", responses=problems(NOT_FOUND))
async def standing(
    desk: InjectedDesk,
    job: InjectedJob,
    response: Response,
    first: Annotated[int, Query(ge=0, le=1 << 40, description="Number of the first item that is shown")] = 0,
    count: Annotated[int, Query(ge=0, le=1000, description="How many items are shown")] = 100,
) -> JobWithItems:
    """Return a job, and some of its items. `Retry-After` says when it is worth asking again."""
    items = await desk.books(desk.store.items, job.id, first, count)
    response.headers.update(_NOT_STORED)
    if job.ended is None:
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    after = first + count
    return job_with_items(job, items, f"/v1/jobs/{job.id}?first={after}&count={count}" if after < job.total else None)


@router.get(
    "/v1/jobs/{job}/events",
    summary="Follow a job as it goes on",
    response_class=EventSourceResponse,
    responses=problems(NOT_FOUND),
)
async def events(
    services: InjectedServices,
    desk: InjectedDesk,
    job: InjectedJob,
    last_event_id: Annotated[str | None, Header(description="Of the last event that was received")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Tell each item that changes as event `item`, and the job as event `job`, until it has ended.

    Who comes late is told how all items stand; who comes back with `Last-Event-ID`, what changed since.
    """
    cursor, told = _cursor(last_event_id), -1
    while True:
        current = await desk.books(desk.store.job, job.tenant, job.id)
        changed = await desk.books(desk.store.changes, job.id, cursor, _MOST_CHANGES)
        for item in changed:
            cursor = item.revision, item.number
            yield ServerSentEvent(event="item", id=f"{cursor[0]}.{cursor[1]}", data=item_answer(item))
        if current.revision != told:
            told = current.revision
            yield ServerSentEvent(event="job", data=job_answer(current))
        if len(changed) < _MOST_CHANGES:
            # A process that leaves waits for nobody who follows: they come back to another.
            if current.ended is not None or services.admission.draining:
                return
            await asyncio.sleep(_LOOK_SECONDS)


@router.get(
    "/v1/jobs/{job}/results/{number}",
    summary="The answer of an item that is done",
    response_class=Response,
    responses={
        200: {
            "description": "What the task answered.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        206: {"description": "A range of it."},
        304: {"description": "The caller has it already."},
        **problems({**NOT_FOUND, 404: "No such job of this caller, or no result of such an item."}),
    },
)
async def result(desk: InjectedDesk, job: InjectedJob, number: int, request: Request) -> Response:
    """Return what the task answered for an item. It never changes: `ETag` is its SHA-256; `Range` is taken."""
    items = await desk.books(desk.store.items, job.id, max(0, min(number, 1 << 40)), 1)
    item = items[0] if items and items[0].number == number else None
    if item is None or item.result is None:
        raise ResultNotFound("The item has no result; GET the job to see how it stands.")
    kept, etag = item.result, f'"{item.result.digest}"'
    headers = {
        **kept.headers,
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{b64encode(bytes.fromhex(kept.digest)).decode()}:",
        "Cache-Control": "private, max-age=86400, immutable",
    }
    if has_already(request, etag):
        return Response(status_code=304, headers=headers)
    return FileResponse(desk.files.body(job.tenant, item.key), headers=headers, media_type=kept.media_type)


@router.delete(
    "/v1/jobs/{job}",
    summary="Cancel a job, or forget one that has ended",
    response_class=Response,
    responses={
        200: {"model": JobAnswer, "description": "It is cancelled: no item begins any more, and those that run end."},
        204: {"description": "It had ended; it and its results are forgotten."},
        **problems(NOT_FOUND),
    },
)
async def cancel(desk: InjectedDesk, job: InjectedJob) -> Response:
    """Cancel a job, down to the batch of tiles that runs; what is done stays. Once it has ended, forget all of it."""
    if job.ended is None:
        return JSONResponse(job_answer(await desk.cancel(job.tenant, job.id)).model_dump(mode="json"))
    await desk.clear(await desk.books(desk.store.forget, job.tenant, job.id))
    return Response(status_code=204)


def has_already(request: Request, etag: str) -> bool:
    """Return whether a caller says that it has what has this tag."""
    return etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(","))


def _cursor(event: str | None) -> tuple[int, int]:
    """Return revision and number of the item that an event was about; those before all where it is none of ours."""
    ours = _CURSOR.fullmatch(event or "")
    return (int(ours[1]), int(ours[2])) if ours else (0, -1)


async def _left(request: Request, leave: Callable[[], Awaitable[tuple[Job, bool]]]) -> Response:
    """Return the answer to a request that leaves a job."""
    try:
        job, _ = await leave()
    except Refused as refused:
        request.scope["state"]["problem"] = refused.document["code"]
        return JSONResponse(refused.document, refused.document["status"], {"Cache-Control": "no-store"}, PROBLEM_JSON)
    headers = {**_NOT_STORED, "Location": f"/v1/jobs/{job.id}", "Retry-After": str(_RETRY_SECONDS)}
    return JSONResponse(job_answer(job).model_dump(mode="json"), 202, headers)


@dataclass(frozen=True)
class _Routed:
    """Stands for a route in what is counted and logged of a request that no router has seen."""

    path: str


@dataclass(frozen=True)
class RespondAsync:
    """Leaves a request to a task as a job where its caller prefers that (RFC 7240): `Prefer: respond-async`.

    A gateway that keeps no jobs goes without it: a preference may be passed over.
    """

    app: ASGIApp
    services: Services
    desk: Desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        asked = scope["type"] == "http" and scope["method"] == "POST" and _prefers_async(Headers(scope=scope))
        task = self.services.settings.registry.tasks.get(scope["path"].removeprefix("/v1/")) if asked else None
        if task is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        scope["route"] = _Routed(f"/v1/{task.name}")
        submission = Submission(self.services, self.desk, scope["app"].state.tasks, request)
        try:
            response = await _left(request, lambda: submission.sent(task))
            response.headers["Preference-Applied"] = "respond-async"
        except MaskgateError as error:
            scope["state"]["problem"] = error.code
            response = problem(error, scope)
        await response(scope, receive, send)


def _prefers_async(headers: Headers) -> bool:
    said = ",".join(headers.getlist("prefer")).lower().split(",")
    return "respond-async" in (preference.partition(";")[0].strip() for preference in said)
