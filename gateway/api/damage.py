"""`POST /v1/damage`: a pre- and a post-disaster image in, a damage map out."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from gateway.api.answers import DamageAnswer, class_shares, model_headers, notice_headers, provenance, region_answers
from gateway.api.composition import choose_damage
from gateway.api.documentation import BINARY, Documentation, image_part, multipart, problems
from gateway.api.images import Parts, decode_part, probe_parts
from gateway.api.negotiation import JSON, PNG, choose_form
from gateway.api.services import InjectedServices, Job, serve_task
from gateway.api.uploads import read_parts
from gateway.engines.base import Model
from gateway.media.images import DecodedImage
from gateway.media.labelmaps import encode_label_map, encode_overlay
from gateway.tasks.damage import DamageMap, DamageReport, check_pair, map_damage, report_damage

Picture = Literal["label_map", "overlay"]

TASK = "damage"
PARTS = ("pre", "post")
# Per pre pixel: three bytes decoded, three of the post image on its grid, label map, confidence map, and
# what finding regions takes: a component map (int32) and a padded copy of the label map.
_BYTES_PER_PRE_PIXEL = 13
# Per post pixel: three bytes decoded.
_BYTES_PER_POST_PIXEL = 3

router = APIRouter(tags=[TASK])

_BODY = multipart(
    {
        "pre": image_part("PNG or JPEG, before the disaster. Its pixel grid is the answer's."),
        "post": image_part(
            "PNG or JPEG of the same frame, after it; another size of equal aspect is resized and said so."
        ),
    }
)
_RESPONSES: dict[int | str, Documentation] = {
    200: {
        "description": "Indexed PNG of the pre image's size whose values are the classes of the model's card "
        "(default), the overlay as an RGB PNG, or the damage map in numbers, by `Accept`.",
        "model": DamageAnswer,
        "content": {PNG: BINARY},
    },
    **problems(
        {
            400: "The body is malformed, or a part is missing or there twice.",
            404: "No such model, or no such version of it.",
            406: "`Accept` names nothing this route produces.",
            413: "The body or an image is over its limit; `limit` says which.",
            415: "The body is not multipart, or a part is neither PNG nor JPEG.",
            422: "An image is unreadable or unsuitable, or the two are no pair.",
        }
    ),
}


@router.post(
    "/v1/damage",
    summary="Damage per building from a pair of satellite images",
    openapi_extra=_BODY,
    responses=_RESPONSES,
    response_class=Response,
)
async def damage(
    request: Request,
    services: InjectedServices,
    model: Annotated[
        str | None,
        Query(
            description="One of the task's models, or `fused`: one finds buildings, another grades each",
            examples=["bd-siamunet"],
        ),
    ] = None,
    version: Annotated[
        int | None, Query(ge=1, description="One of the model's versions; without it the newest that is ready")
    ] = None,
    overlay: Annotated[bool, Query(description="PNG: draw the classes over the post image")] = False,
    include: Annotated[
        list[Picture] | None, Query(description="JSON: pictures to put into the answer, as base64 PNG")
    ] = None,
) -> Response:
    """Return the label map, the overlay, or the buildings of a pair.

    Worked example, with a pair that `maskgate example` draws:

        curl -F pre=@example_00000001_pre_disaster.png -F post=@example_00000001_post_disaster.png \\
             'http://127.0.0.1:8080/v1/damage?overlay=true' -o overlay.png
    """
    media_type = choose_form(request.headers.get("accept"), overlay=overlay, include=include or ())
    chosen = choose_damage(services, model or services.settings.models.damage, version)

    async def answer(job: Job[Parts]) -> Response:
        pair = await _decode_pair(job, chosen)
        segmenter = job.segmenter(chosen)
        if media_type == JSON:
            report = await report_damage(segmenter, pair.pre, pair.post)
            body = await job.run("encode", _json, report, pair.notices, include or (), job)
        else:
            mapped = await map_damage(segmenter, pair.pre, pair.post)
            body = await job.run("encode", _overlay if overlay else _label_map, mapped)
        return Response(body, headers=model_headers(chosen) | notice_headers(pair.notices), media_type=media_type)

    return await serve_task(services, request, TASK, partial(read_parts, PARTS), answer)


@dataclass(frozen=True)
class _Pair:
    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    notices: tuple[str, ...]


async def _decode_pair(job: Job[Parts], model: Model) -> _Pair:
    """Return both images; what their headers show to be unservable is refused before a pixel is decoded."""
    pre, post = await probe_parts(job, PARTS)
    notices = check_pair(model, pre.size, post.size)
    job.reservation.grow(pre.pixels * _BYTES_PER_PRE_PIXEL + post.pixels * _BYTES_PER_POST_PIXEL)
    first, second = await asyncio.gather(decode_part(job, "pre", pre), decode_part(job, "post", post))
    return _Pair(first.pixels, second.pixels, (*_said_of("pre", first), *_said_of("post", second), *notices))


def _said_of(name: str, image: DecodedImage) -> list[str]:
    return [f"{name} image: {notice}" for notice in image.notices]


def _label_map(mapped: DamageMap) -> bytes:
    return encode_label_map(mapped.label_map, mapped.model.card.palette())


def _overlay(mapped: DamageMap) -> bytes:
    return encode_overlay(mapped.post, mapped.label_map, mapped.model.card.palette())


_PICTURES = {"label_map": _label_map, "overlay": _overlay}


def _json(report: DamageReport, notices: Sequence[str], include: Sequence[Picture], job: Job[Parts]) -> bytes:
    model = report.map.model
    height, width = report.map.label_map.shape
    answer = DamageAnswer(
        model=model.name,
        width=width,
        height=height,
        classes=class_shares(model.card.classes, report.map.counts),
        regions=region_answers(model.card.classes, report.buildings),
        notices=list(notices),
        provenance=provenance(model, job.services.engine, _digest(job)),
        pictures={name: b64encode(_PICTURES[name](report.map)).decode() for name in include},
    )
    return answer.model_dump_json(by_alias=True).encode()


def _digest(job: Job[Parts]) -> str:
    parts = b"".join(hashlib.sha256(job.body[name]).digest() for name in PARTS)
    return f"sha256:{hashlib.sha256(parts).hexdigest()}"
