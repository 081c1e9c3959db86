"""The route of tasks that take one image and answer with a label map and its regions; and what such answers share."""

# Annotations are not postponed: FastAPI could not see the task in those of a function inside another.

from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from gateway.engines.base import Engine, Model, choose
from gateway.http.answers import LabelMapAnswer, class_shares, provenance, region_answers
from gateway.http.documentation import task_body, task_responses
from gateway.http.memoised_routes import MemoisedRoute
from gateway.http.parameters import JSON, FormQuery, ModelQuery, form_query, model_query
from gateway.http.request_path import (
    InjectedServices,
    Job,
    Parts,
    decode_part,
    digest_of,
    model_headers,
    notice_headers,
    probe_parts,
    serve_task,
)
from gateway.http.uploads import read_parts
from gateway.inference.label_maps import LabelMap, find_regions, map_image, untrained_notices
from gateway.inference.segmenter import Segmenter
from gateway.media.pictures.overlays import Entry, draw_legend, encode_overlay
from gateway.media.pictures.png import encode_label_map
from gateway.registry import TaskSpec
from gateway.scheduling.prices import Kind
from gateway.vision.regions import Region

Picture = Literal["label_map", "overlay"]
UInt8 = NDArray[np.uint8]
Size = tuple[int, int]

# Per pixel: three bytes decoded, label map, confidence map, and what finding regions takes: one class alone, a
# component map (int32) and a padded copy.
_BYTES_PER_PIXEL = 11


@dataclass(frozen=True)
class ImageTask:
    """A task of this shape: its spec, and what it does otherwise than tile the image at its own scale.

    Attributes:
        spec: with one required part, the image.
        map_image: returns the label map of an image, uint8 (H, W, 3), RGB.
        find_regions: returns the regions of at least so many pixels.
        notices_of: returns what the caller should know of how a model takes an image of a size (height, width).
        seen_pixels: returns how many pixels a model sees of such an image: what it costs goes by them.
        answer: the JSON.
        smallest: pixels of a region that is listed, where the caller names no other number.
    """

    spec: TaskSpec
    map_image: Callable[[Segmenter, UInt8], Awaitable[LabelMap]] = map_image
    find_regions: Callable[[Segmenter, LabelMap, int], Awaitable[tuple[Region, ...]]] = find_regions
    notices_of: Callable[[Model, Size], tuple[str, ...]] = lambda model, _: untrained_notices(model)
    seen_pixels: Callable[[Model, Size], int] = lambda _, size: size[0] * size[1]
    answer: type[LabelMapAnswer] = LabelMapAnswer
    smallest: int = 64


def label_map_router(task: ImageTask) -> APIRouter:
    """Return the router of a task: ``POST /v1/<name>``."""
    spec, (part,) = task.spec, task.spec.required_parts
    router = APIRouter(tags=[spec.name], route_class=MemoisedRoute)
    read = partial(read_parts, spec.required_parts, optional=spec.optional_parts)

    @router.post(
        f"/v1/{spec.name}",
        name=spec.name,
        summary=spec.title,
        description=f"""Return the label map, the overlay, or the regions of an image.

Worked example:

    curl -F {part}=@photo.jpg 'http://127.0.0.1:8080/v1/{spec.name}?overlay=true' -o overlay.png
""",
        openapi_extra=task_body(spec),
        responses=task_responses(spec, task.answer),
        response_class=Response,
    )
    async def route(
        request: Request,
        services: InjectedServices,
        wanted: Annotated[ModelQuery, model_query(spec)],
        form: Annotated[FormQuery[Picture], form_query(spec, Picture)],
        min_area: Annotated[
            int, Query(ge=1, description="JSON: regions of fewer pixels stay in the label map and are not listed")
        ] = task.smallest,
    ) -> Response:
        media_type = form.choose()
        chosen = choose(services.engine, spec.name, wanted.name(services, spec), wanted.version)

        async def answer(job: Job[Parts]) -> Response:
            image, notices = await _decode(job, task, part, chosen)
            segmenter = Segmenter.of(job.inference, chosen)
            seen = _Seen(image, await task.map_image(segmenter, image))
            if media_type == JSON:
                regions = await task.find_regions(segmenter, seen.found, min_area)
                source = await job.run("encode", digest_of, job.body[part])
                pictures: dict[str, bytes] = {
                    name: await job.run("encode", _PICTURES[name], seen) for name in form.include
                }
                written = Written(task.answer, services.engine, source, notices, pictures)
                body = await job.run("encode", written.json, chosen, seen.found.counts, seen.found.label_map, regions)
            else:
                body = await job.run("encode", _PICTURES["overlay" if form.overlay else "label_map"], seen)
            return Response(body, headers=model_headers(chosen) | notice_headers(notices), media_type=media_type)

        return await serve_task(services, request, Kind(spec.name, chosen.name), read, answer)

    return router


@dataclass(frozen=True)
class Written:
    """What a JSON answer says beside what the model saw.

    Attributes:
        answer: the JSON.
        engine: that ran the model.
        input_digest: of what was sent.
        notices: for the caller.
        pictures: PNG by name.
    """

    answer: type[LabelMapAnswer]
    engine: Engine
    input_digest: str
    notices: Sequence[str]
    pictures: Mapping[str, bytes]

    def json(self, model: Model, counts: Sequence[int], label_map: UInt8, regions: Sequence[Region]) -> bytes:
        """Return a label map, uint8 (H, W), of which there are so many pixels per class value, in numbers."""
        height, width = label_map.shape
        answer = self.answer(
            model=model.name,
            width=width,
            height=height,
            classes=class_shares(model.card.classes, counts),
            regions=region_answers(model.card.classes, regions),
            notices=list(self.notices),
            provenance=provenance(model, self.engine, self.input_digest),
            pictures={name: b64encode(png).decode() for name, png in self.pictures.items()},
        )
        return answer.model_dump_json(by_alias=True).encode()


@dataclass(frozen=True)
class _Seen:
    """An image, uint8 (H, W, 3), RGB, and what the model saw on it."""

    image: UInt8
    found: LabelMap


def overlay_with_shares(image: UInt8, label_map: UInt8, found: LabelMap) -> bytes:
    """Return an overlay as PNG, with a legend that tells each class and its share.

    Args:
        image: uint8 (H, W, 3), RGB.
        label_map: uint8 (H, W), what is drawn over it.
        found: whose classes these are, and their counts.
    """
    card, total = found.model.card, sum(found.counts)
    # What has the value 0 is not drawn, and so has no entry.
    entries = [
        Entry(spec.colour, f"{spec.name} {count / total:.1%}")
        for spec, count in zip(card.classes[1:], found.counts[1:], strict=True)
    ]
    return encode_overlay(image, label_map, card.palette(), legend=draw_legend(image.shape[1], entries))


async def _decode(job: Job[Parts], task: ImageTask, part: str, model: Model) -> tuple[UInt8, tuple[str, ...]]:
    """Return the image and what to know of it; what its header shows to be unservable is refused before."""
    [info] = await probe_parts(job, (part,))
    width, height = info.size
    job.reservation.expect(task.seen_pixels(model, (height, width)))
    job.reservation.grow(info.pixels * _BYTES_PER_PIXEL)
    image = await decode_part(job, part, info)
    height, width = image.pixels.shape[:2]
    return image.pixels, (*image.notices, *task.notices_of(model, (height, width)))


def _label_map(seen: _Seen) -> bytes:
    return encode_label_map(seen.found.label_map, seen.found.model.card.palette())


def _overlay(seen: _Seen) -> bytes:
    return overlay_with_shares(seen.image, seen.found.label_map, seen.found)


_PICTURES: Mapping[Picture, Callable[[_Seen], bytes]] = {"label_map": _label_map, "overlay": _overlay}
