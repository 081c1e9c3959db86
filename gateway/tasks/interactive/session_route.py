"""`/v1/interactive/sessions`: an image once, then one click at a time."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gateway.errors import SessionsUnshared
from gateway.http.documentation import BINARY, Documentation, body, problems, task_body, task_problems
from gateway.http.memoised_routes import MemoisedRoute
from gateway.http.parameters import JSON, PNG, FormQuery, ModelQuery, form_query, model_query, preferred
from gateway.http.request_path import (
    InjectedServices,
    InjectedTenant,
    Job,
    Parts,
    Services,
    notice_headers,
    serve_admitted,
)
from gateway.http.uploads import read_body, read_parts
from gateway.scheduling.admission import Reservation
from gateway.scheduling.prices import Kind
from gateway.sessions.store import Session
from gateway.settings import LimitSettings
from gateway.tasks.interactive.inputs import check_threshold
from gateway.tasks.interactive.outputs import Extra, Form, InjectedShaping
from gateway.tasks.interactive.pipeline import choose_selector
from gateway.tasks.interactive.schema import MaskAnswer, SessionAnswer, session_answer
from gateway.tasks.interactive.session_request import Sitting, begin
from gateway.tasks.interactive.spec import TASK

_MASK: dict[int | str, Documentation] = {
    200: {
        "description": "The object in question as `POST /v1/interactive` answers it; 1 is its value in the PNG. "
        "`Maskgate-Object` has the number in the session of what changed, `Maskgate-Revision` the session's revision.",
        "model": MaskAnswer,
        "content": {PNG: BINARY},
    },
    **problems(
        {
            404: "No such session: it never was, ended, expired, or is another tenant's.",
            406: "`Accept` names nothing this route produces.",
            409: "Another request changed the session meanwhile (`retryable`: nothing of this one was kept); or the "
            "session's model is served no more (`session-outdated`); or there is no click to take back.",
            413: "The click or the prompt is over its limit; `limit` says which.",
            422: "The prompt shows nothing, or not what the model takes.",
        }
    ),
}

_STATE: dict[int | str, Documentation] = {**_MASK, 200: {"model": SessionAnswer}}

_CLICK = body(
    {
        JSON: {
            "schema": {
                "type": "object",
                "description": "What is added: any keys of a prompt, and in `object` the number of the object it "
                "is for, as in the session's mask, or `new`; without it the one that was clicked last.",
                "examples": [
                    {"box": [218, 42, 370, 320], "positive": [[298, 144]]},
                    {"negative": [[240, 60]]},
                    {"object": "new", "box": [10, 10, 90, 90]},
                ],
            }
        }
    }
)

# A click costs what a click costs, whatever its few bytes.
_CLICKED, _SHOWN, _ASKED = (Kind(TASK.name, f"session/{step}", "request") for step in ("click", "mask", "state"))


async def _offered(services: InjectedServices) -> None:
    """Refuse before a body is read where the next request may reach a process that knows nothing of this one.

    Raises:
        SessionsUnshared: the gateway runs as several processes without a Redis.
    """
    if not services.settings.keeps_sessions:
        raise SessionsUnshared(
            "This gateway runs as several processes, which share sessions in a Redis alone; its operator names one by "
            "MASKGATE_SESSIONS_URL. POST /v1/interactive answers without a session."
        )


router = APIRouter(
    prefix="/v1/interactive/sessions",
    tags=[TASK.name],
    route_class=MemoisedRoute,
    dependencies=[Depends(_offered)],
    responses=problems({501: "The gateway runs as several processes and has no Redis for sessions."}),
)


async def _form(query: Annotated[FormQuery[Extra], form_query(TASK, Extra)], shaped: InjectedShaping) -> Form:
    # A plain function would be run in a thread.
    return Form.wanted(query, shaped)


InjectedForm = Annotated[Form, Depends(_form)]


@router.post(
    "",
    status_code=201,
    summary="Begin a session with an image",
    openapi_extra=task_body(TASK, optional=("prompt",)),
    responses={
        **task_problems(TASK),
        201: {"model": SessionAnswer},
    },
    response_class=Response,
)
async def create(
    request: Request,
    services: InjectedServices,
    tenant: InjectedTenant,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    form: Annotated[FormQuery[Extra], form_query(TASK, Extra, overlay=False)],
    shaped: InjectedShaping,
    threshold: Annotated[
        float | None, Query(gt=0, lt=1, description="Pixels of a probability above it are the object's")
    ] = None,
) -> Response:
    """Keep an image, and answer its first prompt where it comes with one. Model and version stay the session's own.

    curl -F image=@photo.jpg 'http://127.0.0.1:8080/v1/interactive/sessions'
    """
    preferred(form.accept, (JSON,))
    selector = choose_selector(services.engine, wanted.name(services, TASK), wanted.version)
    check_threshold(selector, threshold)

    async def work(job: Job[Parts]) -> Response:
        session, answer = await begin(job, tenant, selector, threshold, Form(JSON, False, form.include, shaped))
        encoded = await job.run("encode", _state, session, services, answer)
        headers = {"Location": f"{router.prefix}/{session.id}"} | notice_headers(session.notices)
        return Response(encoded, 201, headers, JSON)

    read = partial(read_parts, ("image",), optional=("prompt",))
    return await serve_admitted(services, request, Kind(TASK.name, "session/begin"), read, work)


@router.post(
    "/{session}/clicks",
    summary="Add a click, or any part of a prompt",
    openapi_extra=_CLICK,
    responses=_MASK,
    response_class=Response,
)
async def click(
    request: Request, services: InjectedServices, tenant: InjectedTenant, form: InjectedForm, session: str
) -> Response:
    """Return the object with this added to its prompt: clicks and strokes are added, shapes take each other's place.

        curl --json '{"box": [218, 42, 370, 320], "positive": [[298, 144]]}' -H 'Accept: image/png' \\
             http://127.0.0.1:8080/v1/interactive/sessions/$ID/clicks -o mask.png
        curl --json '{"negative": [[240, 60]]}' …   # mends it
        curl --json '{"object": "new", "box": [10, 10, 90, 90]}' …   # begins another

    By itself `--json` accepts JSON alone: without the header, `mask.png` would hold the JSON answer.
    """

    async def work(job: Job[bytearray]) -> Response:
        return await (await Sitting.of(job, tenant, session)).add(job.body, form)

    return await serve_admitted(services, request, _CLICKED, _read_click, work)


@router.delete("/{session}/clicks/last", summary="Take the last click back", responses=_MASK, response_class=Response)
async def undo(
    request: Request,
    services: InjectedServices,
    tenant: InjectedTenant,
    form: InjectedForm,
    session: str,
    number: Annotated[
        int | None, Query(alias="object", ge=1, description="Number of the object; without it the one clicked last")
    ] = None,
) -> Response:
    """Return what is left of the object whose click it was; of one without clicks a PNG of zeros, no objects.

    `Maskgate-Object`, and `object` in JSON, name the object.
    """

    async def work(job: Job[None]) -> Response:
        return await (await Sitting.of(job, tenant, session)).take_back(number, form)

    return await serve_admitted(services, request, _CLICKED, _read_nothing, work)


@router.get("/{session}/mask", summary="All objects, later ones on top", responses=_MASK, response_class=Response)
async def mask(
    request: Request, services: InjectedServices, tenant: InjectedTenant, form: InjectedForm, session: str
) -> Response:
    """Return all objects as `POST /v1/interactive` answers several: n in the PNG is the object of that number."""

    async def work(job: Job[None]) -> Response:
        return await (await Sitting.of(job, tenant, session)).show(form)

    return await serve_admitted(services, request, _SHOWN, _read_nothing, work)


@router.delete("/{session}/clicks", summary="Take all clicks back", responses=_STATE, response_class=Response)
async def reset(request: Request, services: InjectedServices, tenant: InjectedTenant, session: str) -> Response:
    """Return the session, which has its image yet and no objects."""

    async def work(job: Job[None]) -> Response:
        kept = await services.sessions.get(tenant, session)
        emptied = kept.emptied()
        await services.sessions.replace(kept, emptied)
        return Response(_state(emptied, services), media_type=JSON)

    return await serve_admitted(services, request, _ASKED, _read_nothing, work)


@router.get("/{session}", summary="How a session stands", responses=_STATE, response_class=Response)
async def state(request: Request, services: InjectedServices, tenant: InjectedTenant, session: str) -> Response:
    """Return the session with what its clicks add up to."""

    async def work(job: Job[None]) -> Response:
        kept = await services.sessions.get(tenant, session)
        return Response(await job.run("encode", _state, kept, services), media_type=JSON)

    return await serve_admitted(services, request, _ASKED, _read_nothing, work)


@router.delete("/{session}", status_code=204, summary="End a session", responses={404: _MASK[404]})
async def end(request: Request, services: InjectedServices, tenant: InjectedTenant, session: str) -> Response:
    """Forget the image and the clicks."""

    async def work(job: Job[None]) -> Response:
        await services.sessions.delete(await services.sessions.get(tenant, session))
        return Response(status_code=204)

    return await serve_admitted(services, request, _ASKED, _read_nothing, work)


async def _read_click(request: Request, limits: LimitSettings, reservation: Reservation) -> bytearray:
    return await read_body(request, limits.model_copy(update={"body_bytes": limits.prompt_bytes}), reservation)


async def _read_nothing(request: Request, limits: LimitSettings, reservation: Reservation) -> None:
    return None


def _state(session: Session, services: Services, answer: MaskAnswer | None = None) -> bytes:
    return session_answer(session, services.settings.sessions.idle_seconds, answer).model_dump_json().encode()
