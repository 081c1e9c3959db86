"""`POST /v1/damage`: a pre- and a post-disaster image in, a damage map out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gateway.engines.base import Model, choose
from gateway.errors import ModelUnsuitable, ParameterInvalid
from gateway.http.answers import LabelMapAnswer, RegionAnswer
from gateway.http.documentation import task_body, task_responses
from gateway.http.label_map_answers import Written
from gateway.http.memoised_routes import MemoisedRoute
from gateway.http.parameters import JSON, PNG, ModelQuery, Wish, form_query, model_query
from gateway.http.request_path import (
    InjectedServices,
    Job,
    Parts,
    Services,
    model_headers,
    notice_headers,
    serve_admitted,
)
from gateway.http.uploads import read_parts
from gateway.inference.restoration import TASK as RESTORE
from gateway.media.pictures.overlays import encode_overlay
from gateway.media.pictures.png import encode_label_map
from gateway.scheduling.prices import Kind
from gateway.tasks.damage.fused import FUSED, FusedModel, GradingModel, fuse, grading_alone
from gateway.tasks.damage.inputs import (
    SceneHints,
    SceneWishes,
    check_formats,
    check_series,
    decode_pair,
    digest_of_pair,
    is_scene,
    open_referred,
    pointing_as_sent,
    rasters_in,
    tell_apart,
)
from gateway.tasks.damage.pipeline import DamageMap, DamageReport, map_damage, report_damage, segmenter_of
from gateway.tasks.damage.rasters import check_taken
from gateway.tasks.damage.scene_files import open_parts
from gateway.tasks.damage.scene_outputs import DIRECT, WHOLE, SceneForm
from gateway.tasks.damage.scene_pairs import Align
from gateway.tasks.damage.scene_route import answer_scene
from gateway.tasks.damage.scene_schema import SceneAnswer
from gateway.tasks.damage.spec import BOX_TASK, CROP_TASK, FOOTPRINTS, TASK

router = APIRouter(tags=[TASK.name], route_class=MemoisedRoute)

# Background and two grades.
_LEAST_CLASSES = 3

_READ = partial(read_parts, TASK.required_parts, optional=TASK.optional_parts, several=TASK.several_parts)


class DamageAnswer(LabelMapAnswer):
    """A damage map in numbers."""

    regions: list[RegionAnswer] = Field(description="Buildings of at least 25 pixels, in reading order")


@router.post(
    "/v1/damage",
    summary=TASK.title,
    openapi_extra=task_body(TASK),
    responses=task_responses(TASK, DamageAnswer | SceneAnswer),
    response_class=Response,
)
async def damage(
    request: Request,
    services: InjectedServices,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    wished: Annotated[Wish[SceneForm], form_query(TASK, SceneForm, DIRECT)],
    align: Annotated[
        Align | None,
        Query(
            description="Undo a shift between the images that they themselves show: where it is sure (auto, the "
            "default of GeoTIFF), never (off, the default of other pictures), or else refuse (require)"
        ),
    ] = None,
    bands: Annotated[
        list[str] | None,
        Query(
            description="TIFF: numbers of the red, green and blue band, or of a grey one; of one image as pre:3,2,1",
            examples=[["3,2,1"]],
        ),
    ] = None,
    nodata: Annotated[
        list[str] | None,
        Query(
            description="TIFF: the sample of what was not observed, in place of the file's; of one image as post:-9999",
            examples=[["-9999"]],
        ),
    ] = None,
    crs: Annotated[
        list[str] | None,
        Query(
            description="TIFF: EPSG's code of the coordinate reference system, in place of the file's; of one image as "
            "pre:EPSG:32633",
            examples=[["EPSG:32633"]],
        ),
    ] = None,
    district_name: Annotated[
        str | None,
        Query(max_length=100, description="Property of the districts that is their name", examples=["ADM3_EN"]),
    ] = None,
    bbox: Annotated[
        str | None,
        Query(
            max_length=200,
            description="TIFF: the part of the pre image that is meant: west,south,east,north in degrees of WGS 84",
            examples=["-94.53,37.04,-94.51,37.06"],
        ),
    ] = None,
    post_date: Annotated[
        list[date] | None,
        Query(
            description="Date of each image after the disaster, in their order: those of one date are tiles of one "
            "image, others a series, whose last date is mapped. Models of series read several dates, such as "
            "bd-rnn-lite0-series; without dates all are tiles of one image",
            examples=[["2018-10-11"]],
        ),
    ] = None,
    output_crs: Annotated[
        str | None,
        Query(
            description="GeoPackage, FlatGeobuf, GeoParquet: coordinate reference system of the answer, that of the "
            "pre image (source) or EPSG's code; else WGS 84",
            examples=["source"],
        ),
    ] = None,
    uncertain_below: Annotated[
        float, Query(ge=0, le=1, description="Scenes: confidence below which a building is `uncertain`")
    ] = 0.5,
    tta: Annotated[
        Literal["flip"] | None,
        Query(
            description="Scenes: ask the models once more about everything as a mirror shows it; means count, and each "
            "building has the `disagreement` of both. Takes twice as long"
        ),
    ] = None,
    declouded: Annotated[
        bool,
        Query(
            description="Take clouds off the images first, as `POST /v1/restore` does. What is invented in their place "
            "is no evidence: buildings with a tenth of it or more are `uncertain`. The images are held whole, and so "
            "may be as large as pictures"
        ),
    ] = False,
) -> Response:
    """Return the label map, the overlay, or the buildings of a pair.

    Worked examples, with a pair that `maskgate example` draws, and with two GeoTIFFs:

        curl -F pre=@example_00000001_pre_disaster.png -F post=@example_00000001_post_disaster.png \\
             'http://127.0.0.1:8080/v1/damage?overlay=true' -o overlay.png

        curl -F pre=@pre.tif -F post=@post.tif -F districts=@districts.geojson \\
             -H 'Accept: application/geo+json' http://127.0.0.1:8080/v1/damage -o buildings.geojson
    """
    media_type = wished.check()
    chosen = choose_damage(services, wanted.name(services, TASK), wanted.version)
    hints = SceneHints(tuple(bands or ()), tuple(nodata or ()), tuple(crs or ()), district_name, bbox)
    clearer = choose(services.engine, RESTORE, services.settings.models.named(RESTORE)) if declouded else None
    wishes = SceneWishes(output_crs, uncertain_below, tta is not None, clearer)
    plain = (
        media_type in (PNG, JSON)
        and set(wished.include) <= set(WHOLE)
        and align is None
        and not (hints.of_images or tta or declouded)
    )

    limits = services.settings.limits

    async def answer(job: Job[Parts]) -> Response:
        check_formats(job.body)
        model = settle_damage(chosen, known=FOOTPRINTS in job.body)
        if sent := rasters_in(job.body):
            check_taken(model, sent, (each.model for each in services.engine.statuses() if each.model))
        with pointing_as_sent(tell_apart(job.body, post_date or ())):
            check_series(model, job.body)
            if not plain or is_scene(job.body):
                job, referred = await open_referred(job, request.scope["state"]["caller"])
                with ExitStack() as held:
                    # Who waits for a store holds no turn.
                    fetched = await open_parts(job, held, hints, referred) if referred else None
                    async with job.turn():
                        opened = fetched or await open_parts(job, held, hints, referred)
                        return await answer_scene(job, held, opened, model, wished, align, wishes)
            job.timeline.curtail(limits.deadline_seconds)
            async with job.turn():
                return await _answer_pictures(job, model, wished, media_type)

    # What comes may be a scene, until it is there.
    longest = max(limits.deadline_seconds, limits.scene_deadline_seconds)
    extras = [*([] if tta is None else [tta]), *(["declouded"] if declouded else [])]
    kind = Kind(TASK.name, " ".join([chosen.name, *extras]))
    return await serve_admitted(services, request, kind, _READ, answer, longest)


async def _answer_pictures(job: Job[Parts], model: Model, wished: Wish[SceneForm], media_type: str) -> Response:
    """Return the map of two pictures in memory."""
    pair = await decode_pair(job, model)
    segmenter = segmenter_of(job.inference, model)
    if media_type == JSON:
        report = await report_damage(segmenter, pair.pre, pair.post, pair.between, pair.observed)
        mapped, encode = report.map, partial(_json, report, pair.notices, wished.include, job)
    else:
        mapped = await map_damage(segmenter, pair.pre, pair.post, pair.between, observed=pair.observed)
        encode = partial(_overlay if wished.overlay else _label_map, mapped)
    # Counted where it is encoded: each further step costs a small picture as much as its counting.
    body, counts = await job.run("encode", lambda: (encode(), mapped.counts))
    segmenter.publish_shares(counts)
    return Response(body, headers=model_headers(model) | notice_headers(pair.notices), media_type=media_type)


def _label_map(mapped: DamageMap) -> bytes:
    return encode_label_map(mapped.label_map, mapped.model.card.palette())


def _overlay(mapped: DamageMap) -> bytes:
    return encode_overlay(mapped.post, mapped.label_map, mapped.model.card.palette())


_PICTURES: Mapping[SceneForm, Callable[[DamageMap], bytes]] = {"label_map": _label_map, "overlay": _overlay}


def _json(report: DamageReport, notices: Sequence[str], include: Sequence[SceneForm], job: Job[Parts]) -> bytes:
    pictures: dict[str, bytes] = {name: _PICTURES[name](report.map) for name in include}
    written = Written(DamageAnswer, job.services.engine, digest_of_pair(job), notices, pictures)
    return written.json(report.map.model, report.map.counts, report.map.label_map, report.buildings)


def choose_damage(services: Services, name: str, version: int | None) -> Model:
    """Return the model that a request for damage names; `fused` names those of the settings.

    What the body has decides whether it can answer: see `settle_damage`.

    Raises:
        ParameterInvalid: a version of `fused` was asked for.
        MaskgateError: as `choose`.
    """
    finding, grading = (services.settings.models.named(role) for role in ("fused_finder", "fused_grader"))
    if name == FUSED:
        if version is not None:
            raise ParameterInvalid(
                f"{FUSED} consists of two models and has no versions; the newest of both answer.", pointer="/version"
            )
        finder = choose(services.engine, _task_of(services, finding), finding)
        return fuse(finder, choose(services.engine, CROP_TASK, grading))
    task = _task_of(services, name)
    chosen = choose(services.engine, task, name, version)
    return grading_alone(chosen) if task == CROP_TASK else chosen


def _task_of(services: Services, name: str) -> str:
    """Return the task that the card of a model states, where it is one of those that a request may name."""
    tasks = (status.model.card.task for status in services.engine.statuses() if status.name == name and status.model)
    return next((task for task in tasks if task in (CROP_TASK, BOX_TASK)), TASK.name)


def settle_damage(chosen: Model, *, known: bool) -> Model:
    """Return the model that answers.

    Args:
        chosen: what `choose_damage` returned.
        known: whether the footprints of buildings are known.

    Raises:
        ModelUnsuitable: it grades single buildings and none are known, or it grades none.
    """
    if not known:
        if isinstance(chosen, GradingModel):
            raise ModelUnsuitable(
                f"{chosen.name} grades one building on a crop and finds none; send {FOOTPRINTS}, or ask for "
                f"model={FUSED}, in which another model finds them.",
                pointer="/model",
            )
        return chosen
    if isinstance(chosen, FusedModel):
        return grading_alone(chosen.grader)
    if len(chosen.card.classes) < _LEAST_CLASSES:
        raise ModelUnsuitable(
            f"{chosen.name} finds buildings and grades none; with {FOOTPRINTS} a model that does is needed.",
            pointer="/model",
        )
    return chosen
