"""`POST /v1/radiograph`: a chest radiograph in, class scores out, and where in it they found support."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from gateway.engines.base import Engine
from gateway.errors import ParameterInvalid
from gateway.http.answers import MEDICAL_NOTICE
from gateway.http.documentation import task_body, task_responses
from gateway.http.memoised_routes import MemoisedRoute
from gateway.http.parameters import JSON, PNG, FormQuery, ModelQuery, form_query, model_query
from gateway.http.request_path import InjectedServices, Job, Parts, digest_of, notice_headers, serve_task
from gateway.http.uploads import naming_part, read_only_part
from gateway.inference.segmenter import Segmenter
from gateway.media.medical.radiographs import Film, open_film
from gateway.media.pictures.images import ImageLimits
from gateway.media.pictures.overlays import encode_heat_overlay
from gateway.scheduling.prices import Kind
from gateway.settings import LimitSettings
from gateway.tasks.radiograph.pipeline import FilmReport, choose_panel, explain_film, score_film
from gateway.tasks.radiograph.schema import RadiographAnswer, panel_headers, radiograph_answer
from gateway.tasks.radiograph.spec import TASK

Picture = Literal["saliency"]

# Of DICOM, which takes most: stored values (16 bits), their transformations (float32, with a table also int64), and the
# picture. What the evidence takes comes when those are gone.
_BYTES_PER_PIXEL = 24

CONFOUNDED = (
    "in the public data that such models learn from, class and source are confounded: "
    "a score may tell hospitals, machines or ages apart instead of disease"
)
"""Goes with every score of a film."""
_UNFAMILIAR = "do not trust these scores: the film is unlike those that the models learnt from"
_EVIDENCE = "the picture shows on a coarse grid what the scores rest on, not where disease is"

router = APIRouter(tags=[TASK.name], route_class=MemoisedRoute)

(_PART,) = TASK.parts
_READ = partial(read_only_part, _PART)


@router.post(
    "/v1/radiograph",
    summary=TASK.title,
    openapi_extra=task_body(TASK, bare=True),
    responses=task_responses(TASK, RadiographAnswer),
    response_class=Response,
)
async def radiograph(
    request: Request,
    services: InjectedServices,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    form: Annotated[FormQuery[Picture], form_query(TASK, Picture)],
    threshold: Annotated[
        float | None,
        Query(gt=0, lt=1, description="From which probability of the first class on it is decided for"),
    ] = None,
    body_part: Annotated[
        Literal["chest"] | None, Query(description="DICOM: what it shows, where the file says otherwise or nothing")
    ] = None,
    saliency_class: Annotated[
        str | None,
        Query(description="Pictures: the class whose evidence they show; without it the one decided for"),
    ] = None,
) -> Response:
    """Return the class scores of a chest radiograph. The models are research demonstrations; this is not a diagnosis.

    Worked examples, the scores of all models, and a picture of what speaks for a class:

        curl -F image=@film.dcm 'http://127.0.0.1:8080/v1/radiograph?threshold=0.3'

        curl -F image=@film.dcm -H 'Accept: image/png' \\
             'http://127.0.0.1:8080/v1/radiograph?saliency_class=COVID-19' -o saliency.png
    """
    media_type = form.choose(TASK.formats)
    paints = media_type == PNG or bool(form.include)
    if saliency_class is not None and not paints:
        raise ParameterInvalid(
            "A class is for a picture; accept image/png, or use include=saliency.", pointer="/saliency_class"
        )
    panel = choose_panel(services.engine, wanted.name(services, TASK), wanted.version)
    asked = None if saliency_class is None else panel.value_of(saliency_class)
    judge = explain_film if paints else score_film

    async def answer(job: Job[Parts]) -> Response:
        film, digest = await _decode(job, body_part)
        report = await judge(panel, partial(Segmenter.of, job.inference), film.pixels, threshold)
        read = _Read(film, report, report.verdict.value if asked is None else asked, _notices(film, report, paints))
        if media_type == JSON:
            body = await job.run("encode", _json, read, form.include, services.engine, digest)
        else:
            body = await job.run("encode", _saliency, read)
        return Response(body, headers=panel_headers(panel) | notice_headers(read.notices), media_type=media_type)

    return await serve_task(services, request, Kind(TASK.name, panel.name), _READ, answer)


@dataclass(frozen=True)
class _Read:
    """A film that was read.

    Attributes:
        film: the picture.
        report: what the models make of it.
        shown: value of the class whose evidence pictures show.
        notices: for the caller.
    """

    film: Film
    report: FilmReport
    shown: int
    notices: tuple[str, ...]


async def _decode(job: Job[Parts], body_part: Literal["chest"] | None) -> tuple[Film, str]:
    """Return the film and the digest of the upload; what its header shows to be unservable is not decoded."""
    image = job.body.pop("image")
    # Decoders want bytes: the one copy, of which the original is let go.
    job.reservation.grow(len(image))
    data = await job.run("decode", bytes, image)
    del image
    with naming_part("image"):
        opened = await job.run("decode", open_film, data, _limits(job.services.settings.limits), body_part)
        # Whatever its size, a film is shown to a model at the model's own.
        job.reservation.expect(1)
        job.reservation.grow(opened.width * opened.height * _BYTES_PER_PIXEL)
        film = await job.run("decode", opened.decode)
    job.services.telemetry.images_decoded.inc()
    return film, await job.run("decode", digest_of, data)


def _limits(limits: LimitSettings) -> ImageLimits:
    return ImageLimits(limits.film_side**2, limits.film_side, limits.image_side_minimum)


def _notices(film: Film, report: FilmReport, paints: bool) -> tuple[str, ...]:
    """Return what was done to the film, and what to beware of."""
    panel = report.panel
    rows, columns = film.pixels.shape
    said = [MEDICAL_NOTICE, CONFOUNDED, *film.notices]
    if report.distance is not None and report.distance > 1:
        said.append(f"{_UNFAMILIAR}: its distance is {report.distance:.1f}, and theirs are below 1 but for few")
    tiles = sorted({model.card.tile for model in panel.models} - ({rows} if rows == columns else set()))
    if tiles:
        squares = " and ".join(f"{tile}×{tile}" for tile in tiles)
        said.append(f"film resampled from {columns}×{rows} to {squares} for the models, its aspect not kept")
    if untrained := sorted({name for model in panel.models for name in model.card.training.untrained}):
        said.append(f"a model has never seen {', '.join(untrained)} and cannot find it")
    if panel.absent:
        said.append(f"the ensemble goes without {', '.join(panel.absent)}: not ready, or of other classes")
    if paints:
        said.append(_EVIDENCE)
    return tuple(said)


def _json(read: _Read, include: Sequence[Picture], engine: Engine, digest: str) -> bytes:
    rows, columns = read.film.pixels.shape
    pictures = {str(name): b64encode(_saliency(read)).decode() for name in dict.fromkeys(include)}
    shown = read.shown if include else None
    answer = radiograph_answer(read.report, (columns, rows), read.notices, engine, digest, pictures, shown)
    return answer.model_dump_json().encode()


def _saliency(read: _Read) -> bytes:
    """Return the film with the evidence for the class shown drawn over it."""
    evidence = read.report.evidence(read.shown, *read.film.pixels.shape)
    return encode_heat_overlay(read.film.pixels, evidence)
