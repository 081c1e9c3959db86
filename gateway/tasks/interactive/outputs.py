"""Selected objects as responses: PNG, overlay or JSON. The one-shot route and sessions answer alike."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from fastapi import Response

from gateway import __version__
from gateway.engines.base import Engine
from gateway.http.answers import model_headers, notice_headers
from gateway.http.negotiation import JSON, choose_form
from gateway.http.parameters import FormQuery
from gateway.media.pictures.label_maps import encode_label_map, encode_overlay
from gateway.tasks.interactive.schema import MaskAnswer, MaskProvenance, coco_document, object_answer
from gateway.tasks.interactive.selectors import InteractiveRun, Picture, Selection, Selector
from gateway.vision.clicks import Pixels
from gateway.vision.masks import merge

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
    """

    selector: Selector
    engine: Engine
    picture: Picture
    digest: str
    selections: Sequence[Selection]
    notices: Sequence[str] = ()


@dataclass(frozen=True)
class Form:
    """What a caller wants: a PNG, of the values or of an overlay, or JSON with extras."""

    media_type: str
    overlay: bool
    include: Sequence[Extra]

    @classmethod
    def wanted(cls, query: FormQuery[Extra]) -> Form:
        """Return the form that `Accept`, `overlay=` and `include=` ask for.

        Raises:
            MaskgateError: as `choose_form`.
        """
        media_type = choose_form(query.accept, overlay=query.overlay, include=query.include)
        return cls(media_type, query.overlay, query.include)

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
        return mask_answer(found, form.include, pixels).model_dump_json().encode()
    return _png(found, pixels)


def _png(found: Found, pixels: Pixels | None) -> bytes:
    """Return the instance map, or the overlay over `pixels`."""
    masks = [selection.mask for selection in found.selections]
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


def mask_answer(found: Found, include: Sequence[Extra], pixels: Pixels | None) -> MaskAnswer:
    """Return the objects in numbers, with extras; `pixels` are the image's, where `include` asks for an overlay."""
    width, height = found.picture.width, found.picture.height
    objects = [object_answer(value, selection) for value, selection in enumerate(found.selections, start=1)]
    pictures = {name: _png(found, pixels if name == "overlay" else None) for name in include if name != "coco"}
    return MaskAnswer(
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
