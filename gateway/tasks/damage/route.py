"""`POST /v1/damage`: a pre- and a post-disaster image in, a damage map out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gateway.engines.base import Model
from gateway.http.answers import DamageAnswer, class_shares, model_headers, notice_headers, provenance, region_answers
from gateway.http.documentation import BINARY, Documentation, image_part, multipart, problems
from gateway.http.images import Parts
from gateway.http.negotiation import JSON, PNG, Wish
from gateway.http.request_path import InjectedServices, Job, serve_admitted
from gateway.http.uploads import read_parts
from gateway.media.pictures.label_maps import encode_label_map, encode_overlay
from gateway.scheduling.prices import Kind
from gateway.tasks.damage.fused import segmenter_of
from gateway.tasks.damage.inputs import PARTS, decode_pair, digest_of_pair
from gateway.tasks.damage.models import choose_damage
from gateway.tasks.damage.pipeline import DamageMap, DamageReport, map_damage, report_damage
from gateway.tasks.damage.scene_inputs import DISTRICTS, check_formats
from gateway.tasks.damage.scene_outputs import GEOJSON, TIFF, WHOLE, ZIP, SceneForm, wish
from gateway.tasks.damage.scene_pairs import Align
from gateway.tasks.damage.scene_route import answer_scene, is_scene
from gateway.tasks.damage.scene_schema import SceneAnswer

TASK = "damage"

router = APIRouter(tags=[TASK])

_BODY = multipart(
    {
        "pre": image_part("Before the disaster: GeoTIFF, PNG or JPEG. Its pixel grid is the answer's."),
        "post": image_part(
            "After it. GeoTIFF of the same place, in any coordinate reference system, resolution and extent, is warped "
            "to the pre grid. PNG or JPEG of the same frame: another size of equal aspect is resized and said so."
        ),
    },
    {
        DISTRICTS: image_part(
            "GeoJSON feature collection of polygons; JSON and GeoJSON answers then count buildings in each."
        )
    },
)
_RESPONSES: dict[int | str, Documentation] = {
    200: {
        "description": "By `Accept`: an indexed PNG of the pre image's size whose values are the classes of the "
        "model's card (default), or the overlay as an RGB PNG; the damage map in numbers; of GeoTIFF one GeoJSON "
        "feature per building in WGS 84; the label map as Cloud-Optimised GeoTIFF, 255 where nothing was observed; or "
        "a zip of the two PNGs of xView2. PNGs have no value for what was not observed: it is 0 there, and a notice "
        "says how much that is.",
        "model": DamageAnswer | SceneAnswer,
        "content": {PNG: BINARY, GEOJSON: BINARY, TIFF: BINARY, ZIP: BINARY},
    },
    **problems(
        {
            400: "The body is malformed, or a part is missing or there twice.",
            404: "No such model, or no such version of it.",
            406: "`Accept` names nothing this route produces, or nothing that it can of this input.",
            413: "The body, an image or the districts are over their limit; `limit` says which.",
            415: "The body is not multipart, or a part is neither TIFF, PNG nor JPEG.",
            422: "An image is unreadable or unsuitable, or the two are no pair; of images that lie apart on Earth "
            "`footprints` says where each lies.",
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
        list[SceneForm] | None, Query(description="JSON: what else to put into the answer, in base64")
    ] = None,
    align: Annotated[
        Align | None,
        Query(
            description="Undo a shift between the images that they themselves show: where it is sure (auto, the "
            "default of GeoTIFF), never (off, the default of other pictures), or else refuse (require)"
        ),
    ] = None,
) -> Response:
    """Return the label map, the overlay, or the buildings of a pair.

    Worked examples, with a pair that `maskgate example` draws, and with two GeoTIFFs:

        curl -F pre=@example_00000001_pre_disaster.png -F post=@example_00000001_post_disaster.png \\
             'http://127.0.0.1:8080/v1/damage?overlay=true' -o overlay.png

        curl -F pre=@pre.tif -F post=@post.tif -F districts=@districts.geojson \\
             -H 'Accept: application/geo+json' http://127.0.0.1:8080/v1/damage -o buildings.geojson
    """
    wished = wish(request.headers.get("accept"), overlay, include or ())
    media_type = wished.check()
    chosen = choose_damage(services, model or services.settings.models.damage, version)
    plain = media_type in (PNG, JSON) and set(wished.include) <= set(WHOLE) and align is None

    limits = services.settings.limits

    async def answer(job: Job[Parts]) -> Response:
        check_formats(job.body)
        if not plain or is_scene(job.body):
            async with job.turn():
                return await answer_scene(job, chosen, wished, align)
        job.timeline.curtail(limits.deadline_seconds)
        async with job.turn():
            return await _answer_pictures(job, chosen, wished, media_type)

    read = partial(read_parts, PARTS, optional=(DISTRICTS,))
    # What comes may be a scene, until it is there.
    longest = max(limits.deadline_seconds, limits.scene_deadline_seconds)
    return await serve_admitted(services, request, Kind(TASK, chosen.name), read, answer, longest)


async def _answer_pictures(job: Job[Parts], model: Model, wished: Wish[SceneForm], media_type: str) -> Response:
    """Return the map of two pictures in memory."""
    pair = await decode_pair(job, model)
    segmenter = segmenter_of(job.inference, model)
    if media_type == JSON:
        report = await report_damage(segmenter, pair.pre, pair.post)
        body = await job.run("encode", _json, report, pair.notices, wished.include, job)
    else:
        mapped = await map_damage(segmenter, pair.pre, pair.post)
        body = await job.run("encode", _overlay if wished.overlay else _label_map, mapped)
    return Response(body, headers=model_headers(model) | notice_headers(pair.notices), media_type=media_type)


def _label_map(mapped: DamageMap) -> bytes:
    return encode_label_map(mapped.label_map, mapped.model.card.palette())


def _overlay(mapped: DamageMap) -> bytes:
    return encode_overlay(mapped.post, mapped.label_map, mapped.model.card.palette())


_PICTURES: Mapping[SceneForm, Callable[[DamageMap], bytes]] = {"label_map": _label_map, "overlay": _overlay}


def _json(report: DamageReport, notices: Sequence[str], include: Sequence[SceneForm], job: Job[Parts]) -> bytes:
    model = report.map.model
    height, width = report.map.label_map.shape
    answer = DamageAnswer(
        model=model.name,
        width=width,
        height=height,
        classes=class_shares(model.card.classes, report.map.counts),
        regions=region_answers(model.card.classes, report.buildings),
        notices=list(notices),
        provenance=provenance(model, job.services.engine, digest_of_pair(job)),
        pictures={name: b64encode(_PICTURES[name](report.map)).decode() for name in include},
    )
    return answer.model_dump_json(by_alias=True).encode()
