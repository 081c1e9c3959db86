"""`POST /v1/restore`: a satellite image in, the same ground without clouds out, and what of it is invented."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response

from gateway import __version__
from gateway.engines.base import Engine, choose
from gateway.http.answers import provenance
from gateway.http.documentation import task_body, task_responses
from gateway.http.memoised_routes import MemoisedRoute
from gateway.http.parameters import JSON, PNG, ModelQuery, Wish, form_query, model_query
from gateway.http.request_path import InjectedServices, Job, Parts, digest_of, model_headers, notice_headers, serve_task
from gateway.http.uploads import read_parts
from gateway.http.whole_images import WholeImage, read_whole
from gateway.inference.restoration import Restored, invented_notices, restore_image
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.colour_files import colour_geotiff
from gateway.media.geo.georeference import GeoGrid
from gateway.media.pictures.png import encode_grey, encode_picture
from gateway.scheduling.prices import Kind
from gateway.tasks.restore.schema import RestoreAnswer
from gateway.tasks.restore.spec import IMAGE, TASK
from gateway.vision.resizing import Size

router = APIRouter(tags=[TASK.name], route_class=MemoisedRoute)

Form = Literal["image", "invented", "geotiff"]
TIFF = "image/tiff"
_DIRECT: Mapping[str, Form] = {PNG: "image", TIFF: "geotiff"}
_NOWHERE: Mapping[Form, str] = {"geotiff": "A GeoTIFF is made of images that say where on Earth they lie."}
_READ = partial(read_parts, TASK.required_parts)

# RGB before and after, what is observed, the share that is invented, tiles on their way, and the answer.
_BYTES_PER_PIXEL = 20


@router.post(
    "/v1/restore",
    summary=TASK.title,
    openapi_extra=task_body(TASK),
    responses=task_responses(TASK, RestoreAnswer),
    response_class=Response,
)
async def restore(
    request: Request,
    services: InjectedServices,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    wished: Annotated[Wish[Form], form_query(TASK, Form, _DIRECT)],
) -> Response:
    """Return an image without its clouds. What lay under thick ones is invented, and nothing may be decided by it.

    Worked examples, the image, and how much of it is invented beside a picture of where:

        curl -F image=@cloudy.png http://127.0.0.1:8080/v1/restore -o restored.png

        curl -F image=@cloudy.tif -H 'Accept: application/json' \\
             'http://127.0.0.1:8080/v1/restore?include=image&include=invented'
    """
    wished.check()
    chosen = choose(services.engine, TASK.name, wanted.name(services, TASK), wanted.version)

    async def answer(job: Job[Parts]) -> Response:
        digest = await job.run("decode", digest_of, job.body[IMAGE])

        def admit(size: Size, grid: GeoGrid | None) -> None:
            job.reservation.expect(size[0] * size[1])
            job.reservation.grow(size[0] * size[1] * _BYTES_PER_PIXEL)

        image = await read_whole(job, IMAGE, admit)
        media_type, forms = wished.granted({} if image.grid else _NOWHERE, "image")
        found = await restore_image(Segmenter.of(job.inference, chosen), image.pixels, image.observed)
        made = _Made(image, found, _notices(image, found))
        files = {name: await job.run("encode", _FORMS[name], made) for name in forms}
        if media_type == JSON:
            body = await job.run("encode", _json, made, services.engine, digest, files)
        else:
            (body,) = files.values()
        return Response(body, headers=model_headers(chosen) | notice_headers(made.notices), media_type=media_type)

    return await serve_task(services, request, Kind(TASK.name, chosen.name), _READ, answer)


@dataclass(frozen=True)
class _Made:
    """An image, the same without its clouds, and what the caller should know."""

    image: WholeImage
    found: Restored
    notices: tuple[str, ...]


def _notices(image: WholeImage, found: Restored) -> tuple[str, ...]:
    lost = (f"{image.lost:.1%} of the image not observed, which stays black",) if image.lost else ()
    return (*image.notices, *lost, *invented_notices(found))


def _json(made: _Made, engine: Engine, digest: str, files: Mapping[Form, bytes]) -> bytes:
    """Return the answer in numbers, with `files` by form."""
    found = made.found
    height, width = found.invented.shape
    coded = {form: b64encode(content).decode() for form, content in files.items()}
    answer = RestoreAnswer(
        model=found.model.name,
        width=width,
        height=height,
        observed_share=round(1 - made.image.lost, 6),
        covered_share=round(found.covered_share, 6),
        invented_share=round(found.invented_share, 6),
        notices=list(made.notices),
        provenance=provenance(found.model, engine, digest),
        pictures={form: text for form, text in coded.items() if form != "geotiff"},
        files={form: text for form, text in coded.items() if form == "geotiff"},
    )
    return answer.model_dump_json(by_alias=True).encode()


def _geotiff(made: _Made) -> bytes:
    found, image = made.found, made.image
    if image.grid is None:
        raise ValueError("a GeoTIFF of an image without geography")
    tags = {
        "TIFFTAG_SOFTWARE": f"Maskgate {__version__}",
        "MODEL": found.model.name,
        "MODEL_VERSION": str(found.model.version),
        "MODEL_DIGEST": found.model.digest,
        "INVENTED": "band 4: 255 times the share of a pixel that is not the ground's own light",
        "NOTICES": "; ".join(made.notices),
    }
    return colour_geotiff(found.image, {"invented": found.invented}, image.observed, image.grid, tags)


_FORMS: Mapping[Form, Callable[[_Made], bytes]] = {
    "image": lambda made: encode_picture(made.found.image),
    "invented": lambda made: encode_grey(made.found.invented),
    "geotiff": _geotiff,
}
