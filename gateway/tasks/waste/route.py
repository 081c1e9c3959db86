"""`POST /v1/waste`: a photograph in, a map of the waste on it out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from gateway.engines.base import Model, choose
from gateway.http.answers import WasteAnswer, class_shares, model_headers, notice_headers, provenance, region_answers
from gateway.http.documentation import BINARY, Documentation, image_part, multipart, problems
from gateway.http.images import Parts, decode_part, digest_of, probe_parts
from gateway.http.negotiation import JSON, PNG, choose_form
from gateway.http.request_path import InjectedServices, Job, serve_task
from gateway.http.uploads import read_parts
from gateway.inference.segmenter import Segmenter
from gateway.media.pictures.label_maps import encode_label_map, encode_overlay
from gateway.media.pictures.legends import Entry, draw_legend
from gateway.scheduling.prices import Kind
from gateway.tasks.waste.pipeline import WasteMap, find_pieces, map_waste, notices_of, seen_pixels
from gateway.vision.regions import Region

Picture = Literal["label_map", "overlay"]
UInt8 = NDArray[np.uint8]

TASK = "waste"
PARTS = ("image",)
# Per pixel: three bytes decoded, label map, confidence map, and what finding pieces takes: one class alone, a component
# map (int32) and a padded copy.
_BYTES_PER_PIXEL = 11

router = APIRouter(tags=[TASK])

_BODY = multipart({"image": image_part("PNG or JPEG: a photograph of waste. Its pixel grid is the answer's.")})
_RESPONSES: dict[int | str, Documentation] = {
    200: {
        "description": "Indexed PNG of the photograph's size whose values are the classes of the model's card "
        "(default), the overlay with its legend below as an RGB PNG, or the waste in numbers, by `Accept`.",
        "model": WasteAnswer,
        "content": {PNG: BINARY},
    },
    **problems(
        {
            400: "The body is malformed, or the part is missing or there twice.",
            404: "No such model, or no such version of it.",
            406: "`Accept` names nothing this route produces.",
            413: "The body or the image is over its limit; `limit` says which.",
            415: "The body is not multipart, or the part is neither PNG nor JPEG.",
            422: "The image is unreadable or unsuitable.",
        }
    ),
}


@router.post(
    "/v1/waste",
    summary="Waste on a photograph, by class",
    openapi_extra=_BODY,
    responses=_RESPONSES,
    response_class=Response,
)
async def waste(
    request: Request,
    services: InjectedServices,
    model: Annotated[str | None, Query(description="One of the task's models", examples=["waste-fanet"])] = None,
    version: Annotated[
        int | None, Query(ge=1, description="One of the model's versions; without it the newest that is ready")
    ] = None,
    overlay: Annotated[
        bool, Query(description="PNG: draw the classes over the photograph, with a legend below it")
    ] = False,
    include: Annotated[
        list[Picture] | None, Query(description="JSON: pictures to put into the answer, as base64 PNG")
    ] = None,
    min_area: Annotated[
        int, Query(ge=1, description="JSON: pieces of fewer pixels stay in the label map and are not listed")
    ] = 64,
) -> Response:
    """Return the label map, the overlay, or the pieces of waste on a photograph.

    Worked example:

        curl -F image=@photo.jpg 'http://127.0.0.1:8080/v1/waste?overlay=true' -o overlay.png
    """
    media_type = choose_form(request.headers.get("accept"), overlay=overlay, include=include or ())
    chosen = choose(services.engine, TASK, model or services.settings.models.waste, version)

    async def answer(job: Job[Parts]) -> Response:
        photo, notices = await _decode(job, chosen)
        segmenter = Segmenter.of(job.inference, chosen)
        seen = _Seen(photo, await map_waste(segmenter, photo))
        if media_type == JSON:
            pieces = await find_pieces(segmenter, seen.map, min_area)
            source = await job.run("encode", digest_of, job.body["image"])
            pictures = {name: await job.run("encode", _PICTURES[name], seen) for name in include or ()}
            body = await job.run("encode", _json, seen.map, pieces, notices, pictures, job, source)
        else:
            body = await job.run("encode", _PICTURES["overlay" if overlay else "label_map"], seen)
        return Response(body, headers=model_headers(chosen) | notice_headers(notices), media_type=media_type)

    return await serve_task(services, request, Kind(TASK, chosen.name), partial(read_parts, PARTS), answer)


@dataclass(frozen=True)
class _Seen:
    """A photograph, uint8 (H, W, 3), RGB, and what the model saw on it."""

    photo: UInt8
    map: WasteMap


async def _decode(job: Job[Parts], model: Model) -> tuple[UInt8, tuple[str, ...]]:
    """Return the photograph and what to know of it; what its header shows to be unservable is refused before."""
    [info] = await probe_parts(job, PARTS)
    width, height = info.size
    job.reservation.expect(seen_pixels(model, (height, width)))
    job.reservation.grow(info.pixels * _BYTES_PER_PIXEL)
    image = await decode_part(job, "image", info)
    height, width = image.pixels.shape[:2]
    return image.pixels, (*image.notices, *notices_of(model, (height, width)))


def _label_map(seen: _Seen) -> bytes:
    return encode_label_map(seen.map.label_map, seen.map.model.card.palette())


def _overlay(seen: _Seen) -> bytes:
    card, total = seen.map.model.card, sum(seen.map.counts)
    # The background is not drawn, and so has no entry.
    entries = [
        Entry(spec.colour, f"{spec.name} {count / total:.1%}")
        for spec, count in zip(card.classes[1:], seen.map.counts[1:], strict=True)
    ]
    legend = draw_legend(seen.photo.shape[1], entries)
    return encode_overlay(seen.photo, seen.map.label_map, card.palette(), legend=legend)


_PICTURES = {"label_map": _label_map, "overlay": _overlay}


def _json(
    found: WasteMap,
    pieces: tuple[Region, ...],
    notices: tuple[str, ...],
    pictures: Mapping[str, bytes],
    job: Job[Parts],
    input_digest: str,
) -> bytes:
    model = found.model
    height, width = found.label_map.shape
    answer = WasteAnswer(
        model=model.name,
        width=width,
        height=height,
        classes=class_shares(model.card.classes, found.counts),
        regions=region_answers(model.card.classes, pieces),
        notices=list(notices),
        provenance=provenance(model, job.services.engine, input_digest),
        pictures={name: b64encode(png).decode() for name, png in pictures.items()},
    )
    return answer.model_dump_json(by_alias=True).encode()
