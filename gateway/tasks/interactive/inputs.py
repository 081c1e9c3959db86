"""Prompts as callers write them: JSON, read off the event loop and checked before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from gateway.errors import BadRequest, ParameterInvalid, PromptInvalid, PromptTooLarge
from gateway.http.uploads import naming_part
from gateway.settings import LimitSettings
from gateway.tasks.interactive.prompts import Prompt, Strokes, check_prompt
from gateway.tasks.interactive.selectors import Selector
from gateway.vision.clicks import inside_point
from gateway.vision.outlines import read_run_lengths

Pair = tuple[float, float]

BYTES_PER_PIXEL = 9
"""Three bytes decoded, the instance map, and for one object at a time either its probability and mask or, later, what
finding outlines takes: a component map (int32) and a padded copy. Masks that are kept are counted as they come."""

LEAST_SIDE = 2
"""Shortest side of an image, in pixels: a crop shows black around a small one."""

_FORMS = {
    "box": "A box is [x0, y0, x1, y1]: two opposite corners, the larger bounds a pixel beyond the last one",
    "positive": "Clicks are [[x, y], …]",
    "negative": "Clicks are [[x, y], …]",
    "extreme": "Extreme points are [[x, y], [x, y], [x, y], [x, y]]",
    "polygon": "A polygon is [[x, y], …]",
    "strokes": 'Strokes are {"object": [[[x, y], …], …], "background": [[[x, y], …], …]}, lines of points',
    "tight": "tight is true or false",
    "mask": 'A mask is {"size": [height, width], "counts": …}, run lengths as COCO codes them and answers have them',
    "objects": "objects is a list of prompts, at least one, with no other key beside it",
}
_KEYS = (
    "A prompt is an object of box, positive, negative, extreme, polygon, strokes, mask and tight, or of objects alone"
)


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class StrokesBody(_Part):
    """Lines drawn by hand; one of a single point is a dot."""

    object: tuple[Annotated[tuple[Pair, ...], Field(min_length=1)], ...] = ()
    background: tuple[Annotated[tuple[Pair, ...], Field(min_length=1)], ...] = ()


class MaskBody(_Part):
    """A mask of the object as an answer has it, which stands for a box and a click where these are not given."""

    size: tuple[Annotated[int, Field(ge=1, le=1 << 16)], Annotated[int, Field(ge=1, le=1 << 16)]]
    counts: str | tuple[Annotated[int, Field(ge=0)], ...]


class PromptBody(_Part):
    """One object as a caller shows it; see `Prompt` for the meaning of the keys."""

    box: tuple[float, float, float, float] | None = None
    positive: tuple[Pair, ...] = ()
    negative: tuple[Pair, ...] = ()
    extreme: tuple[Pair, ...] = ()
    polygon: tuple[Pair, ...] = ()
    strokes: StrokesBody = StrokesBody()
    mask: MaskBody | None = None
    tight: bool = True

    def prompt(self) -> Prompt:
        """Return what it says, unchecked but for its mask.

        Raises:
            PromptInvalid: the mask is none, or empty.
        """
        said = self._said()
        if self.mask is None:
            return said
        height, width = size = self.mask.size
        try:
            found = read_run_lengths(self.mask.counts, height, width)
        except ValueError as error:
            raise PromptInvalid(f"{_FORMS['mask']}.", pointer="/mask") from error
        if found.box is None:
            raise PromptInvalid("The mask is empty.", pointer="/mask")
        boxed = said if said.corners else said.boxed(found.box)
        if not said.positive:
            x, y = inside_point(found.inside)
            boxed = replace(boxed, positive=((found.box.x0 + x, found.box.y0 + y),))
        return replace(boxed, size=size)

    def _said(self) -> Prompt:
        return Prompt(
            corners=None if self.box is None else (self.box[:2], self.box[2:]),
            positive=self.positive,
            negative=self.negative,
            extreme=self.extreme,
            polygon=self.polygon,
            strokes=Strokes(self.strokes.object, self.strokes.background),
            tight=self.tight,
        )


class _Objects(_Part):
    objects: Annotated[tuple[PromptBody, ...], Field(min_length=1)]


def _kind(body: Any) -> Literal["one", "several"]:
    return "several" if isinstance(body, dict) and "objects" in body else "one"


_BODY: TypeAdapter[PromptBody | _Objects] = TypeAdapter(
    Annotated[Annotated[PromptBody, Tag("one")] | Annotated[_Objects, Tag("several")], Discriminator(_kind)]
)


def read_prompts(text: memoryview, limits: LimitSettings) -> dict[str, Prompt]:
    """Return the prompt of each object of the part `prompt`, in order, by its JSON pointer without the first slash.

    Raises:
        PromptTooLarge: the text is longer than `limits.prompt_bytes`, or has more than `limits.prompt_objects` objects.
        BadRequest: it is not JSON.
        PromptInvalid: it is not a prompt.
    """
    if len(text) > limits.prompt_bytes:
        raise PromptTooLarge(
            f"A prompt may have {limits.prompt_bytes:,} bytes.", limit=limits.prompt_bytes, pointer="/prompt"
        )
    try:
        body = _BODY.validate_json(bytes(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        with naming_part("prompt"):
            raise refusal(first["type"], first["loc"][1:]) from error
    if isinstance(body, PromptBody):
        return _read({"prompt": body})
    if len(body.objects) > limits.prompt_objects:
        raise PromptTooLarge(
            f"A prompt may have {limits.prompt_objects} objects.",
            limit=limits.prompt_objects,
            pointer="/prompt/objects",
        )
    return _read({f"prompt/objects/{index}": part for index, part in enumerate(body.objects)})


def _read(bodies: Mapping[str, PromptBody]) -> dict[str, Prompt]:
    prompts = {}
    for pointer, body in bodies.items():
        with naming_part(pointer):
            prompts[pointer] = body.prompt()
    return prompts


def refusal(kind: str, place: tuple[int | str, ...]) -> BadRequest | PromptInvalid:
    """Return the error for the first fault that validation found, and where it lies."""
    if kind == "json_invalid":
        return BadRequest("The prompt is not JSON.")
    if kind in {"missing", "extra_forbidden"}:
        # What is not there cannot be pointed at; what should not be there is the caller's, and not repeated.
        place = place[:-1]
    keys = [str(step) for step in place if step in _FORMS]
    known = keys and not (kind == "extra_forbidden" and keys[-1] == "objects")
    pointer = "".join(f"/{step}" for step in place)
    return PromptInvalid(f"{_FORMS[keys[-1]] if known else _KEYS}.", pointer=pointer or None)


def check_prompts(
    prompts: Mapping[str, Prompt], selector: Selector, size: tuple[int, int], limits: LimitSettings
) -> dict[str, Prompt]:
    """Return what makes sense in an image of the (width, height) `size`, and to `selector`; see `check_prompt`.

    Args:
        prompts: by JSON pointer without the first slash.
        selector: what will answer.
        size: (width, height) of the upright image.
        limits: for `prompt_points`.

    Raises:
        PromptTooLarge, PromptInvalid, PromptUnsuitable: as `check_prompt` and `Intake.check`, pointing into the prompt.
    """
    checked = {}
    for pointer, prompt in prompts.items():
        with naming_part(pointer):
            checked[pointer] = check_prompt(prompt, *size, limits.prompt_points)
            selector.intake.check(selector.name, prompt)
    return checked


def check_threshold(selector: Selector, threshold: float | None) -> None:
    """Refuse a threshold where there are no probabilities.

    Raises:
        ParameterInvalid: one is asked of a tool.
    """
    if threshold is not None and selector.model is None:
        raise ParameterInvalid(
            f"{selector.name} gives no probabilities to hold against a threshold.", pointer="/threshold"
        )
