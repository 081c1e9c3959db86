"""Selected objects as responses: PNG, overlay or JSON. The one-shot route and sessions answer alike."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import cv2
import numpy as np
from fastapi import Depends, Query, Response

from gateway import __version__
from gateway.engines.base import Engine
from gateway.http.parameters import JSON, FormQuery
from gateway.http.request_path import model_headers, notice_headers
from gateway.media.pictures.overlays import encode_overlay
from gateway.media.pictures.png import encode_label_map
from gateway.tasks.interactive.schema import MaskAnswer, MaskProvenance, coco_document, object_answer
from gateway.tasks.interactive.selectors import InteractiveRun, Picture, Selection, Selector
from gateway.vision.clicks import Pixels
from gateway.vision.masks import filled, largest_part, merge, uncovered

Extra = Literal["mask", "overlay", "coco"]

# Neighbours in the list of objects are a golden angle apart on the wheel of 180 hues.
_GOLDEN_ANGLE = 68.75


@dataclass(frozen=True)
class Found:
    """Everything an answer is made of.

    Attributes:
        selector: what answered.
        engine: on which it ran, where it is a model.
        picture: the image.
        digest: of the image as it was sent, ``sha256:…``.
        selections: the objects, at most 255, in the order of the prompts.
        notices: what was done to the image.
        object: in a session, number of the object that changed.
    """

    selector: Selector
    engine: Engine
    picture: Picture
    digest: str
    selections: Sequence[Selection]
    notices: Sequence[str] = ()
    object: int | None = None


@dataclass(frozen=True)
class Shaping:
    """What becomes of masks before they are written, in every form alike.

    Attributes:
        simplify: pixels by which the outlines of JSON may be off; 0 encloses exactly the mask.
        fill: whether holes are filled, but for those with a negative click.
        largest: whether the largest part alone stays, with those that hold a positive click.
        overlap: whether objects keep in JSON what later ones cover in the PNG.
    """

    simplify: float = 0
    fill: bool = False
    largest: bool = False
    overlap: bool = False

    def of(self, selections: Sequence[Selection], height: int, width: int) -> list[Selection]:
        """Return the objects so shaped; `height` and `width` are the image's."""
        masks = []
        for selection in selections:
            mask = selection.mask
            if self.largest:
                mask = largest_part(mask, selection.prompt.positive)
            if self.fill:
                mask = filled(mask, selection.prompt.negative)
            masks.append(mask)
        if not self.overlap and len(masks) > 1:
            masks = uncovered(masks, height, width)
        return [replace(selection, mask=mask) for selection, mask in zip(selections, masks, strict=True)]


async def shaping(
    simplify: Annotated[
        float, Query(ge=0, le=100, description="JSON: pixels by which outlines may be off; 0: exactly the mask")
    ] = 0,
    holes: Annotated[
        Literal["keep", "fill"], Query(description="fill: no holes, but for those with a negative click")
    ] = "keep",
    largest: Annotated[
        bool, Query(description="The largest part of each object alone, and those with a positive click")
    ] = False,
    overlap: Annotated[
        Literal["cut", "keep"],
        Query(description="JSON: cut what later objects cover, as the PNG does, or keep objects whole"),
    ] = "cut",
) -> Shaping:
    """Return what the parameters ask for; a coroutine function, since FastAPI would run another in a thread."""
    return Shaping(simplify, holes == "fill", largest, overlap == "keep")


InjectedShaping = Annotated[Shaping, Depends(shaping)]


@dataclass(frozen=True)
class Form:
    """What a caller wants: a PNG, of the values or of an overlay, or JSON with extras."""

    media_type: str
    overlay: bool
    include: Sequence[Extra]
    shaping: Shaping = Shaping()

    @classmethod
    def wanted(cls, query: FormQuery[Extra], shaping: Shaping) -> Form:
        """Return the form that `Accept`, `overlay=`, `include=` and the parameters of shape ask for.

        Raises:
            MaskgateError: as `FormQuery.choose`.
        """
        return cls(query.choose(), query.overlay, query.include, shaping)

    @property
    def paints(self) -> bool:
        """Whether the image's pixels are needed."""
        return self.overlay or "overlay" in self.include


async def respond(found: Found, form: Form, run: InteractiveRun) -> Response:
    """Return the answer in the form wanted, encoded off the event loop."""
    pixels = await found.picture.pixels() if form.paints else None
    body = await run.workers.run(run.timeline, "encode", _encode, found, form, pixels)
    return Response(body, headers=_headers(found), media_type=form.media_type)


def _encode(found: Found, form: Form, pixels: Pixels | None) -> bytes:
    if form.media_type == JSON:
        return mask_answer(found, form, pixels).model_dump_json().encode()
    return _png(found, form.shaping.of(found.selections, found.picture.height, found.picture.width), pixels)


def _png(found: Found, shaped: Sequence[Selection], pixels: Pixels | None) -> bytes:
    """Return the instance map, or the overlay over `pixels`."""
    masks = [selection.mask for selection in shaped]
    instances = merge(masks, found.picture.height, found.picture.width)
    if pixels is None:
        return encode_label_map(instances, _palette(len(masks)))
    return encode_overlay(pixels, instances, _palette(len(masks)))


def _palette(objects: int) -> Pixels:
    """Return the colours of the background and of so many objects, but one at least: uint8 (objects + 1, 3), RGB."""
    hues = np.rint(np.arange(max(1, objects)) * _GOLDEN_ANGLE) % 180
    vivid = np.stack([hues, np.full_like(hues, 255), np.full_like(hues, 255)], axis=-1).astype(np.uint8)
    colours = cv2.cvtColor(vivid[None], cv2.COLOR_HSV2RGB)[0]
    return np.concatenate([np.zeros((1, 3), np.uint8), np.asarray(colours, np.uint8)])


def mask_answer(found: Found, form: Form, pixels: Pixels | None) -> MaskAnswer:
    """Return the objects in numbers, with extras; `pixels` are the image's, where `form` asks for an overlay."""
    width, height, include = found.picture.width, found.picture.height, form.include
    shaped = form.shaping.of(found.selections, height, width)
    objects = [
        object_answer(value, selection, form.shaping.simplify) for value, selection in enumerate(shaped, start=1)
    ]
    pictures = {name: _png(found, shaped, pixels if name == "overlay" else None) for name in include if name != "coco"}
    return MaskAnswer(
        object=found.object,
        model=found.selector.name,
        width=width,
        height=height,
        objects=objects,
        notices=list(found.notices),
        provenance=_provenance(found),
        pictures={name: b64encode(picture).decode() for name, picture in pictures.items()},
        coco=coco_document(objects, width, height, found.digest) if "coco" in include else None,
    )


def _provenance(found: Found) -> MaskProvenance:
    model, encoder = found.selector.model, found.selector.encoder
    return MaskProvenance(
        model=found.selector.name,
        version=model.version if model else None,
        digest=model.digest if model else None,
        engine=found.engine.name if model else f"opencv {cv2.__version__}",
        input_digest=found.digest,
        gateway=__version__,
        encoder_digest=encoder.digest if encoder else None,
    )


def _headers(found: Found) -> dict[str, str]:
    model = found.selector.model
    named = model_headers(model) if model else {"Maskgate-Model": found.selector.name}
    return named | notice_headers([*found.notices, *_object_notices(found.selections)])


def _object_notices(selections: Sequence[Selection]) -> Iterator[str]:
    for number, selection in enumerate(selections, start=1):
        whose = f"object {number}: " if len(selections) > 1 else ""
        yield from (whose + notice for notice in selection.notices)
