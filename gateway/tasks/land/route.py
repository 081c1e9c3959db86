"""`POST /v1/land`: a satellite image in, its land cover out, and roads near what was destroyed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from gateway import __version__
from gateway.engines.base import Engine, choose
from gateway.errors import ParameterInvalid
from gateway.http.answers import provenance, region_answers
from gateway.http.documentation import task_body, task_responses
from gateway.http.label_map_answers import overlay_with_shares
from gateway.http.memoised_routes import MemoisedRoute
from gateway.http.parameters import JSON, PNG, ModelQuery, Wish, form_query, model_query
from gateway.http.request_path import InjectedServices, Job, Parts, model_headers, notice_headers, serve_task
from gateway.http.uploads import read_parts
from gateway.inference.label_maps import find_regions, untrained_notices
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.cog import CogFile
from gateway.media.pictures.png import encode_label_map
from gateway.scheduling.prices import Kind
from gateway.tasks.land.inputs import Beside, Scene, read_beside, read_scene
from gateway.tasks.land.pipeline import COARSEST, FINEST, Land, map_land
from gateway.tasks.land.roads import RoadLength, Wanted, measure_roads
from gateway.tasks.land.schema import LandAnswer, land_shares, near_answer, road_answers
from gateway.tasks.land.spec import BUILDINGS, DISTRICTS, TASK
from gateway.vision.regions import Region

router = APIRouter(tags=[TASK.name], route_class=MemoisedRoute)

Form = Literal["label_map", "overlay", "geotiff"]
TIFF = "image/tiff"
_DIRECT: Mapping[str, Form] = {PNG: "label_map", TIFF: "geotiff"}
_NOWHERE: Mapping[Form, str] = {"geotiff": "A GeoTIFF is made of images that say where on Earth they lie."}
_READ = partial(read_parts, TASK.required_parts, optional=TASK.optional_parts)


@router.post(
    "/v1/land",
    summary=TASK.title,
    openapi_extra=task_body(TASK),
    responses=task_responses(TASK, LandAnswer),
    response_class=Response,
)
async def land(
    request: Request,
    services: InjectedServices,
    wanted: Annotated[ModelQuery, model_query(TASK)],
    wished: Annotated[Wish[Form], form_query(TASK, Form, _DIRECT)],
    resolution: Annotated[
        float | None,
        Query(
            ge=FINEST,
            le=COARSEST,
            description="Metres a pixel, of images that do not say it; without it 0.5 is taken, and said so",
        ),
    ] = None,
    near: Annotated[
        float, Query(gt=0, le=1000, description="JSON: metres from buildings in which roads are near them")
    ] = 20.0,
    near_class: Annotated[
        str, Query(min_length=1, max_length=100, description="JSON: class of the buildings that roads are near to")
    ] = "destroyed",
    district_name: Annotated[
        str | None,
        Query(max_length=100, description="Property of the districts that is their name", examples=["ADM3_EN"]),
    ] = None,
    min_area: Annotated[
        int, Query(ge=1, description="JSON: regions of fewer pixels stay in the label map and are not listed")
    ] = 64,
) -> Response:
    """Return the label map, the overlay, or the land cover and the roads in numbers.

    Worked examples, the second with buildings that `POST /v1/damage` found in the same place:

        curl -F image=@pre.tif -H 'Accept: image/tiff' http://127.0.0.1:8080/v1/land -o land.tif

        curl -F image=@pre.tif -F buildings=@buildings.geojson -F districts=@districts.geojson \\
             -H 'Accept: application/json' http://127.0.0.1:8080/v1/land
    """
    wished.check()
    chosen = choose(services.engine, TASK.name, wanted.name(services, TASK), wanted.version)
    asked = Wanted(near_class, near)

    async def answer(job: Job[Parts]) -> Response:
        scene = await read_scene(job, resolution)
        media_type, forms = wished.granted({} if scene.grid else _NOWHERE, "overlay")
        for name in (BUILDINGS, DISTRICTS):
            if name in job.body and media_type != JSON:
                raise ParameterInvalid(f"JSON alone has room for {name}; accept it.", pointer=f"/{name}")
        beside = await read_beside(job, scene, asked, district_name)
        segmenter = Segmenter.of(job.inference, chosen)
        seen = _Seen(scene, await map_land(segmenter, scene.pixels, scene.resolution, scene.observed))
        files = {name: await job.run("encode", _FORMS[name], seen) for name in forms}
        notices = (*scene.notices, *beside.notices, *untrained_notices(chosen))
        if media_type == JSON:
            regions = await find_regions(segmenter, seen.found, min_area)
            districts = beside.districts.districts if beside.districts else ()
            roads = await job.run("finish", measure_roads, seen.found, scene.grid, beside.marked, districts, asked)
            written = _Numbers(seen, beside, asked, regions, roads, notices)
            body = await job.run("encode", written.json, services.engine, files)
        else:
            (body,) = files.values()
        return Response(body, headers=model_headers(chosen) | notice_headers(notices), media_type=media_type)

    return await serve_task(services, request, Kind(TASK.name, chosen.name), _READ, answer)


@dataclass(frozen=True)
class _Seen:
    """An image, and what the model saw on it."""

    scene: Scene
    found: Land

    @property
    def shown(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """The label map, open ground where nothing was observed: PNG has no value for that."""
        labels = self.found.label_map
        return labels if self.scene.observed is None else np.where(self.scene.observed, labels, np.uint8(0))


@dataclass(frozen=True)
class _Numbers:
    """What a JSON answer is made of."""

    seen: _Seen
    beside: Beside
    wanted: Wanted
    regions: Sequence[Region]
    roads: Sequence[RoadLength]
    notices: tuple[str, ...]

    def json(self, engine: Engine, files: Mapping[Form, bytes]) -> bytes:
        """Return the answer, with `files` by form."""
        scene, found = self.seen.scene, self.seen.found
        height, width = found.label_map.shape
        classes = found.model.card.classes
        roads, districts = road_answers(self.roads)
        coded = {form: b64encode(content).decode() for form, content in files.items()}
        answer = LandAnswer(
            model=found.model.name,
            width=width,
            height=height,
            resolution=(round(scene.resolution[0], 4), round(scene.resolution[1], 4)),
            observed_share=round(sum(found.counts) / found.label_map.size, 6),
            classes=land_shares(classes, found.counts, scene.resolution),
            roads=roads,
            near=near_answer(self.beside.marked, self.wanted),
            districts=districts,
            regions=region_answers(classes, self.regions),
            notices=list(self.notices),
            provenance=provenance(found.model, engine, scene.digest),
            pictures={form: text for form, text in coded.items() if form != "geotiff"},
            files={form: text for form, text in coded.items() if form == "geotiff"},
        )
        return answer.model_dump_json(by_alias=True).encode()


def _label_map(seen: _Seen) -> bytes:
    return encode_label_map(seen.shown, seen.found.model.card.palette())


def _overlay(seen: _Seen) -> bytes:
    return overlay_with_shares(seen.scene.pixels, seen.shown, seen.found)


def _geotiff(seen: _Seen) -> bytes:
    model, labels = seen.found.model, seen.found.label_map
    height, width = labels.shape
    with CogFile(width, height, model.card.palette(), seen.scene.grid) as file:
        file.write(labels)
        tags = {
            "TIFFTAG_SOFTWARE": f"Maskgate {__version__}",
            "MODEL": model.name,
            "MODEL_VERSION": str(model.version),
            "MODEL_DIGEST": model.digest,
        }
        return file.geotiff([spec.name for spec in model.card.classes], tags)


_FORMS: Mapping[Form, Callable[[_Seen], bytes]] = {"label_map": _label_map, "overlay": _overlay, "geotiff": _geotiff}
