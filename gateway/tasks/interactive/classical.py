"""The classical tools as selectors: no model, no probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import PromptInvalid
from gateway.tasks.interactive.prompts import Intake, Point, Prompt, Stroke
from gateway.tasks.interactive.selectors import InteractiveRun, Picture, Selection, said_of
from gateway.vision.classical import (
    GRABCUT_PIXELS,
    WATERSHED_PIXELS,
    NothingToLearn,
    fill,
    grabcut,
    scarce_background,
    surroundings,
    watershed,
)
from gateway.vision.clicks import Pixels, Points, as_points
from gateway.vision.masks import Mask, ObjectMask
from gateway.vision.promises import honoured

# How far a click or stroke reaches to each side: of a box for GrabCut, of the image for the watershed.
_BOX_SHARE, _IMAGE_SHARE = 1 / 40, 1 / 200


@dataclass(frozen=True)
class Tool:
    """A selector that computes its mask from image and prompt alone."""

    name: str
    intake: Intake
    draw: Callable[[Pixels, Prompt], Selection]
    model: None = None
    encoder: None = None

    async def select(self, run: InteractiveRun, image: Picture, prompt: Prompt, threshold: float | None) -> Selection:
        """Return the object that a prompt shows; see `Selector.select`."""
        try:
            return await run.aside(self.draw, await image.pixels(), prompt)
        except NothingToLearn as nothing:
            raise PromptInvalid(
                f"The clicks or strokes leave {self.name} no pixel that may be object, or none that may be background."
            ) from nothing


def _grabcut(image: Pixels, prompt: Prompt) -> Selection:
    asked = box = prompt.box
    for x, y in prompt.positive:
        box = box.including(x, y)
    view = surroundings(box, *image.shape[:2])
    said = {
        "the box was grown to hold a positive click outside it": box != asked,
        "the box leaves no background around it: its border was taken for background": scarce_background(box, view),
        "the object was cut at reduced size": view.width * view.height > GRABCUT_PIXELS,
    }
    radius = _radius(min(box.width, box.height), _BOX_SHARE)
    mask = grabcut(image, box, as_points(prompt.positive), as_points(prompt.negative), radius)
    return _selection(mask, prompt, said, radius)


def _watershed(image: Pixels, prompt: Prompt) -> Selection:
    height, width = image.shape[:2]
    said = {"the image was flooded at reduced size": height * width > WATERSHED_PIXELS}
    inside = _strokes(prompt.strokes.object, prompt.positive)
    outside = _strokes(prompt.strokes.background, prompt.negative)
    radius = _radius(min(height, width), _IMAGE_SHARE)
    return _selection(watershed(image, inside, outside, radius), prompt, said, radius)


def _polygon(image: Pixels, prompt: Prompt) -> Selection:
    return _selection(fill(as_points(prompt.polygon), *image.shape[:2]), prompt, {})


def _radius(length: int, share: float) -> int:
    return max(1, round(length * share))


def _strokes(lines: Sequence[Stroke], dots: Sequence[Point]) -> list[Points]:
    return [as_points(line) for line in (*lines, *((dot,) for dot in dots))]


def _selection(mask: Mask, prompt: Prompt, said: Mapping[str, bool], radius: float = 0) -> Selection:
    found = ObjectMask.of(honoured(mask, as_points(prompt.positive), as_points(prompt.negative), radius))
    notices = (notice for notice, applies in said.items() if applies)
    return Selection(found, prompt, (*notices, *said_of(found, prompt, found=bool(mask.any()))))


_CLICKS = frozenset({"positive", "negative"})
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "grabcut",
            Intake("a box, and any number of positive and negative clicks", frozenset({"box"}), _CLICKS),
            _grabcut,
        ),
        Tool(
            "watershed",
            Intake(
                "strokes or clicks on the object and beside it, of either at least one",
                frozenset(),
                _CLICKS | {"strokes"},
            ),
            _watershed,
        ),
        Tool("polygon", Intake("a polygon", frozenset({"polygon"})), _polygon),
    )
}
"""By name."""
