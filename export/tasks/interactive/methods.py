"""Ways from clicks to a mask: what a person shows of an object to a selector of the gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from export.evaluation.engine import Bench
from export.tasks.interactive.samples import extreme_points
from export.tasks.interactive.simulate import Click
from gateway.errors import PromptInvalid
from gateway.sessions.features import MemoryFeatures
from gateway.tasks.interactive.pipeline import choose_selector
from gateway.tasks.interactive.prompts import Point, Prompt, Strokes
from gateway.tasks.interactive.selectors import InteractiveRun, Memory, Picture, Selector
from gateway.vision.clicks import Box, box_of_mask, inside_point

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Shown = Callable[[Mask, Box, Sequence[Click]], Prompt]
"""Takes an object's true mask, (H, W), the box drawn around it, and the clicks after the first ones; returns what a
person shows by then."""
Hand = Callable[[Box, int, int], Box]
"""Takes an object's tight box and the image's height and width; returns the box that a person draws."""

_AROUND = 6
"""Pixels from an object to a line drawn around it."""

_FEATURES = 1 << 28


@dataclass(frozen=True)
class Method:
    """A way to segment one object with clicks.

    Attributes:
        name: as in tables.
        first: how many clicks the first answer takes.
        refines: whether it takes further clicks.
        shown: what they come to.
        boxed: whether a box is part of it.
        selector: what answers; None: the box itself is the answer, which any method has to beat.
    """

    name: str
    first: int
    refines: bool
    shown: Shown
    boxed: bool
    selector: Selector | None


def model_method(bench: Bench, name: str) -> Method:
    """Return the method of a model of the bench: its first clicks are those that its card asks for.

    Raises:
        MaskgateError: as `choose_selector`.
    """
    selector = choose_selector(bench.engine, name)
    extreme = selector.model is not None and selector.model.card.clicks and selector.model.card.clicks.prompt == "dextr"
    first, shown = (4, _extremes) if extreme else (3, partial(_boxed, inside=True))
    return Method(name, first, selector.encoder is not None, shown, not extreme, selector)


def tool_methods(bench: Bench) -> list[Method]:
    """Return the box, and the tools without a model."""
    ways: dict[str, tuple[int, Shown]] = {
        "grabcut": (2, partial(_boxed, inside=False)),
        "watershed": (3, _stroked),
        "polygon": (_LEAST_VERTICES, _outlined),
    }
    tools = [
        Method(name, first, True, shown, name == "grabcut", choose_selector(bench.engine, name))
        for name, (first, shown) in ways.items()
    ]
    return [Method("box", 2, False, partial(_boxed, inside=False), True, None), *tools]


def exact(box: Box, height: int, width: int) -> Box:
    """Return the tight box itself; see `Hand`."""
    return box


class Attempt:
    """One object under way: what an encoder saw of it is kept from click to click."""

    def __init__(self, bench: Bench, method: Method, name: str, image: Pixels, truth: Mask, hand: Hand = exact) -> None:
        """Begin with an object of an image, uint8 (H, W, 3), and its true mask, bool (H, W).

        Raises:
            ValueError: there is no object in it.
        """
        self._bench, self._method, self._image, self._truth = bench, method, image, truth
        tight = box_of_mask(truth)
        if tight is None:
            raise ValueError("there is no object")
        self._box = hand(tight, *truth.shape)
        memory = Memory(MemoryFeatures(_FEATURES, bench.run.telemetry), "evaluation", name)
        self._run = InteractiveRun.of(bench.run, memory)

    def mask(self, clicks: Sequence[Click]) -> Mask:
        """Return the answer after the first clicks and these further ones, bool (H, W)."""
        selector = self._method.selector
        if selector is not None:
            prompt = self._method.shown(self._truth, self._box, clicks)
            try:
                return self._bench.answer(
                    selector.select(self._run, Picture.of(self._image), prompt, None)
                ).mask.whole()
            except PromptInvalid:
                # The clicks leave a tool nothing to learn from; a person would keep the box.
                pass
        box, mask = self._box, np.zeros(self._truth.shape, np.bool_)
        mask[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1] = True
        return mask


def _boxed(truth: Mask, box: Box, clicks: Sequence[Click], *, inside: bool) -> Prompt:
    """Two corners of the box, with or without a click inside."""
    return Prompt(
        corners=((box.x0, box.y0), (box.x1 + 1, box.y1 + 1)),
        positive=(*([inside_point(truth)] if inside else []), *_points(clicks, positive=True)),
        negative=_points(clicks, positive=False),
        tight=box == box_of_mask(truth),
    )


def _extremes(truth: Mask, box: Box, clicks: Sequence[Click]) -> Prompt:
    """Four extreme points; further clicks are not taken."""
    return Prompt(extreme=tuple((float(x), float(y)) for x, y in extreme_points(truth, np.random.default_rng(0))))


def _stroked(truth: Mask, box: Box, clicks: Sequence[Click]) -> Prompt:
    """A click inside and a box, drawn as a line beside the object; further clicks are dots."""
    frame = [(float(x), float(y)) for x, y in box.relaxed(_AROUND).corners()]
    return Prompt(
        positive=(inside_point(truth), *_points(clicks, positive=True)),
        negative=_points(clicks, positive=False),
        strokes=Strokes(background=((*frame, frame[0]),)),
    )


_LEAST_VERTICES = 3


def _outlined(truth: Mask, box: Box, clicks: Sequence[Click]) -> Prompt:
    """The outline drawn by a careful hand: every click is one more vertex of the best simplified outline."""
    contours, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    most = _LEAST_VERTICES + len(clicks)
    coarsest, finest = cv2.arcLength(outline, closed=True), 0.0
    polygon = outline[:1]
    for _ in range(20):
        middle = (coarsest + finest) / 2
        candidate = cv2.approxPolyDP(outline, middle, closed=True)
        if len(candidate) <= most:
            polygon, coarsest = candidate, middle
        else:
            finest = middle
    return Prompt(polygon=tuple((float(x), float(y)) for x, y in np.asarray(polygon).reshape(-1, 2)))


def _points(clicks: Sequence[Click], *, positive: bool) -> tuple[Point, ...]:
    return tuple((click.x, click.y) for click in clicks if click.positive is positive)
