"""`POST /v1/interactive`: an image and what was clicked on it in, masks of the objects out."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gateway.http.documentation import task_body, task_responses
from gateway.http.memoised_routes import MemoisedRoute
from gateway.http.parameters import FormQuery, ModelQuery, form_query, model_query
from gateway.http.request_path import InjectedServices, Job, Parts, decode_part, digest_of, probe_parts, serve_task
from gateway.http.uploads import naming_part, read_parts
from gateway.scheduling.prices import Kind
from gateway.tasks.interactive.inputs import BYTES_PER_PIXEL, LEAST_SIDE, check_prompts, check_threshold, read_prompts
from gateway.tasks.interactive.outputs import Extra, Form, Found, InjectedShaping, respond
from gateway.tasks.interactive.pipeline import choose_selector
from gateway.tasks.interactive.schema import MaskAnswer
from gateway.tasks.interactive.selectors import InteractiveRun, Picture
from gateway.tasks.interactive.session_route import router as sessions
from gateway.tasks.interactive.spec import TASK

router = APIRouter(tags=[TASK.name], route_class=MemoisedRoute)

_READ = partial(read_parts, TASK.required_parts)


@router.post(
    "/v1/interactive",
    summary=TASK.title,
    openapi_extra=task_body(TASK),
    responses=task_responses(TASK, MaskAnswer),
    response_class=Response,
)
async def interactive(
    request: Request,
    services: InjectedServices,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    form: Annotated[FormQuery[Extra], form_query(TASK, Extra)],
    shaped: InjectedShaping,
    threshold: Annotated[
        float | None, Query(gt=0, lt=1, description="Pixels of a probability above it are the object's")
    ] = None,
) -> Response:
    """Return the objects that a prompt shows in an image.

    Worked example, two corners around an object and a click on it:

        curl -F image=@photo.jpg -F 'prompt={"box": [218, 42, 370, 320], "positive": [[298, 144]]}' \\
             'http://127.0.0.1:8080/v1/interactive?overlay=true' -o overlay.png

    The same as COCO annotations:

        curl -F image=@photo.jpg -F 'prompt={"box": [218, 42, 370, 320], "positive": [[298, 144]]}' \\
             -H 'Accept: application/json' 'http://127.0.0.1:8080/v1/interactive?include=coco'
    """
    shape = Form.wanted(form, shaped)
    selector = choose_selector(services.engine, wanted.name(services, TASK), wanted.version)
    check_threshold(selector, threshold)

    async def answer(job: Job[Parts]) -> Response:
        prompts = await job.run("decode", read_prompts, job.body["prompt"], services.settings.limits)
        (info,) = await probe_parts(job, ["image"], least=LEAST_SIDE)
        prompts = await job.run("decode", check_prompts, prompts, selector, info.size, services.settings.limits)
        job.reservation.expect(len(prompts))
        job.reservation.grow(info.pixels * BYTES_PER_PIXEL)
        image = await decode_part(job, "image", info)
        picture, run = Picture.of(image.pixels), InteractiveRun.of(job.inference)
        selections = []
        for pointer, prompt in prompts.items():
            with naming_part(pointer):
                selections.append(await selector.select(run, picture, prompt, threshold))
            job.reservation.grow(selections[-1].mask.inside.nbytes)
        digest = await job.run("encode", digest_of, job.body["image"])
        found = Found(selector, services.engine, picture, digest, selections, image.notices)
        return await respond(found, shape, run)

    return await serve_task(services, request, Kind(TASK.name, selector.name), _READ, answer)


router.include_router(sessions)
