"""`POST /v1/interactive`: an image and what was clicked on it in, masks of the objects out."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gateway.errors import ParameterInvalid
from gateway.http.documentation import BINARY, Documentation, image_part, multipart, problems
from gateway.http.images import Parts, decode_part, digest_of, probe_parts
from gateway.http.negotiation import PNG
from gateway.http.request_path import InjectedServices, Job, serve_task
from gateway.http.uploads import naming_part, read_parts
from gateway.scheduling.prices import Kind
from gateway.tasks.interactive.inputs import EXAMPLES, check_prompts, read_prompts
from gateway.tasks.interactive.outputs import Extra, Form, Found, respond
from gateway.tasks.interactive.pipeline import TASK, choose_selector
from gateway.tasks.interactive.schema import MaskAnswer
from gateway.tasks.interactive.selectors import InteractiveRun, Picture, Selector

PARTS = ("image", "prompt")
# Three bytes decoded, the instance map, and for one object at a time either its probability and mask or, later, what
# finding outlines takes: a component map (int32) and a padded copy. Masks that are kept are counted as they come.
BYTES_PER_PIXEL = 9

router = APIRouter(tags=[TASK])

PROMPT_PART: Documentation = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": 'One object, or several as `{"objects": […]}`, later ones on top. Coordinates are (x, y) pixels of '
    'the upright image, origin at the centre of the top left pixel. A box is two opposite corners; `"tight": true` '
    "says that it touches the object. iog_refine takes a box and any clicks, iog a box and one positive click; both "
    "find an inside click where none is given. dextr takes four extreme points, grabcut a box and any clicks, "
    "watershed strokes or clicks of both kinds, polygon an outline.",
    "examples": [json.dumps(example) for example in EXAMPLES.values()],
}
_BODY = multipart({"image": image_part("PNG or JPEG."), "prompt": PROMPT_PART})
_RESPONSES: dict[int | str, Documentation] = {
    200: {
        "description": "Indexed PNG of the image's size, 0 background and n the n-th object (default), the overlay as "
        "an RGB PNG, or the objects in numbers, by `Accept`.",
        "model": MaskAnswer,
        "content": {PNG: BINARY},
    },
    **problems(
        {
            400: "The body is malformed, a part is missing or there twice, or the prompt is not JSON.",
            404: "No such model or tool, or no such version of it.",
            406: "`Accept` names nothing this route produces.",
            413: "The body, the image or the prompt is over its limit; `limit` says which.",
            415: "The body is not multipart, or the image is neither PNG nor JPEG.",
            422: "The image is unreadable or unsuitable, the prompt shows nothing, or not what the model takes.",
        }
    ),
}


@router.post(
    "/v1/interactive",
    summary="Objects from clicks, boxes, extreme points, outlines or strokes",
    openapi_extra=_BODY,
    responses=_RESPONSES,
    response_class=Response,
)
async def interactive(
    request: Request,
    services: InjectedServices,
    model: Annotated[
        str | None,
        Query(description="One of the task's models, or grabcut, watershed, polygon", examples=["iog_refine"]),
    ] = None,
    version: Annotated[
        int | None, Query(ge=1, description="One of the model's versions; without it the newest that is ready")
    ] = None,
    threshold: Annotated[
        float | None, Query(gt=0, lt=1, description="Pixels of a probability above it are the object's")
    ] = None,
    overlay: Annotated[bool, Query(description="PNG: draw the objects over the image")] = False,
    include: Annotated[
        list[Extra] | None,
        Query(description="JSON: pictures to put into the answer, as base64 PNG, or a COCO annotation file"),
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
    form = Form.wanted(request.headers.get("accept"), overlay, include)
    selector = choose_selector(services.engine, model or services.settings.models.interactive, version)
    check_threshold(selector, threshold)

    async def answer(job: Job[Parts]) -> Response:
        prompts = await job.run("decode", read_prompts, job.body["prompt"], services.settings.limits)
        (info,) = await probe_parts(job, ["image"])
        await job.run("decode", check_prompts, prompts, selector, info.size, services.settings.limits)
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
        return await respond(found, form, run)

    return await serve_task(services, request, Kind(TASK, selector.name), partial(read_parts, PARTS), answer)


def check_threshold(selector: Selector, threshold: float | None) -> None:
    """Refuse a threshold where there are no probabilities.

    Raises:
        ParameterInvalid: one is asked of a tool.
    """
    if threshold is not None and selector.model is None:
        raise ParameterInvalid(
            f"{selector.name} gives no probabilities to hold against a threshold.", pointer="/threshold"
        )
