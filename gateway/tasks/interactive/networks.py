"""Interactive models of the repository as selectors: IOG, its refinement, DEXTR, and others that take such clicks.

The pipelines are those of Inside-Outside Guidance (Zhang et al., 2020) and DEXTR (Maninis et al., 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import floor

import cv2
import numpy as np

from gateway.engines.base import Model
from gateway.repository.card import ClickSpec
from gateway.sessions.features import FeatureKey, Features
from gateway.tasks.interactive.prompts import Intake, Prompt
from gateway.tasks.interactive.selectors import InteractiveRun, Picture, Selection
from gateway.vision.clicks import Box, Crop, Pixels, Points, as_points, box_around, click_map, inside_point, pushed_out
from gateway.vision.masks import ObjectMask

_EXTREMES = Intake("four extreme points, and nothing else", frozenset({"extreme"}))
_FIRST_CLICKS = Intake(
    "a box, and one positive click or none",
    frozenset({"box"}),
    frozenset({"positive"}),
    most_positive=1,
    hint="click-lite0 takes more clicks.",
)
_ALL_CLICKS = Intake(
    "a box, and any number of positive and negative clicks", frozenset({"box"}), frozenset({"positive", "negative"})
)
_THRESHOLD = 0.5


@dataclass(frozen=True)
class View:
    """What a model is shown of an image and a prompt.

    Attributes:
        crop: the part of the image.
        cut: how it is cut from the image.
        first: per click map, the points that an encoder is shown; whole crop pixels.
        clicks: per click map, the points that the answer is made from; the first among them.
        reach: where in the image the object may be, inside the crop's box.
        notices: how the prompt was taken.
    """

    crop: Crop
    cut: Callable[[Crop, Pixels], Pixels]
    first: tuple[Points, ...]
    clicks: tuple[Points, ...]
    reach: Box
    notices: tuple[str, ...] = ()

    def shown(self, image: Pixels, points: tuple[Points, ...], sigma: float) -> Features:
        """Return the crop of an image and the click maps of `points`, as inputs by role."""
        return {"crop": self.cut(self.crop, image), **self.maps(points, sigma)}

    def maps(self, points: tuple[Points, ...], sigma: float) -> Features:
        """Return the click maps of `points`, uint8 (size, size, maps), as the input that they are."""
        return {"clicks": np.stack([click_map(each, self.crop.size, sigma) for each in points], axis=-1)}

    def cut_out(
        self, probability: Pixels, threshold: float, height: int, width: int
    ) -> tuple[ObjectMask, float | None]:
        """Return the object in an image of the size given, and its mean probability, None where nothing is found.

        Args:
            probability: uint8 (crop.size, crop.size), 255 is certainty.
            threshold: above which a pixel is the object's.
            height: of the image.
            width: of the image.
        """
        place = self.reach.clipped(height, width)
        values = self.crop.uncut(probability, place)
        # The small slack keeps a threshold of k / 255, not exactly representable, from letting k pass.
        part = values > floor(255 * threshold + 1e-6)
        mask = ObjectMask.within(part, place, height, width)
        return mask, round(cv2.mean(values, part.view(np.uint8))[0] / 255, 4) if mask.box else None


def guided_view(prompt: Prompt, clicks: ClickSpec) -> View:
    """Return what IOG sees of a box and clicks: the inside in one map, corners and what is outside in the other.

    Clicks outside the crop: a positive one makes the box grow, hence the crop; a negative one changes nothing.
    """
    box = prompt.box
    for x, y in prompt.positive:
        if not box.framed(clicks.margin, clicks.share).holds(x, y):
            box = box.including(x, y)
    crop = Crop(box.framed(clicks.margin, clicks.share), clicks.size)
    outside = [point for point in prompt.negative if crop.box.holds(*point)]
    corners = crop.to_crop(box.corners())
    if prompt.tight:
        corners = pushed_out(corners, clicks.push, clicks.size)
    inside = np.rint(crop.to_crop(as_points(prompt.positive)))
    corners, outside_points = np.rint(corners), np.rint(crop.to_crop(as_points(outside)))
    notices = []
    if box != prompt.box:
        notices.append("the box was grown to hold a positive click outside the crop")
    if ignored := len(prompt.negative) - len(outside):
        notices.append(f"negative clicks outside the crop change nothing: {ignored}")
    return View(
        crop,
        Crop.cut,
        (inside[:1], corners),
        (inside, np.concatenate([corners, outside_points])),
        crop.box,
        tuple(notices),
    )


def extreme_view(prompt: Prompt, clicks: ClickSpec) -> View:
    """Return what DEXTR sees of four extreme points; beyond them nothing is the object's."""
    extreme = as_points(prompt.extreme)
    box = box_around(extreme)
    crop = Crop(box.framed(clicks.margin, clicks.share), clicks.size)
    points = (np.trunc(crop.to_crop(extreme)),)
    return View(crop, Crop.cut_bicubic, points, points, box)


@dataclass(frozen=True)
class ClickModel:
    """A selector by a model that takes a crop and click maps, or the features that its encoder made of them.

    Attributes:
        model: of the task "interactive".
        clicks: of its card.
        encoder: whose features it takes; None where it takes the crop itself.
    """

    model: Model
    clicks: ClickSpec
    encoder: Model | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name

    @property
    def intake(self) -> Intake:
        """What the model learnt to take: only one with an encoder learnt from further clicks."""
        if self.clicks.prompt == "dextr":
            return _EXTREMES
        return _ALL_CLICKS if self.encoder else _FIRST_CLICKS

    async def select(self, run: InteractiveRun, image: Picture, prompt: Prompt, threshold: float | None) -> Selection:
        """Return the object that a prompt shows; see `Selector.select`.

        A box without a positive click is first asked with its centre for one. Where the mask found does not hold that,
        it is asked again with the point of the mask that is farthest from its edge.
        """
        if self.clicks.prompt == "dextr" or prompt.positive:
            return await self._select(run, image, prompt, threshold)
        box = prompt.box
        centre = (box.x0 + box.x1) // 2, (box.y0 + box.y1) // 2
        guess = await self._select(run, image, replace(prompt, positive=(centre,)), threshold)
        around = guess.mask.box
        if around is None or guess.mask.holds(*centre):
            return _with_found_click(guess)
        x, y = await run.aside(inside_point, guess.mask.inside)
        found = replace(prompt, positive=((around.x0 + x, around.y0 + y),))
        return _with_found_click(await self._select(run, image, found, threshold))

    async def _select(self, run: InteractiveRun, image: Picture, prompt: Prompt, threshold: float | None) -> Selection:
        view = (extreme_view if self.clicks.prompt == "dextr" else guided_view)(prompt, self.clicks)
        sigma = self.clicks.sigma
        if self.encoder is None:
            tensors = await run.aside(view.shown, await image.pixels(), view.clicks, sigma)
        else:
            features = await self._features(run, self.encoder, image, view)
            tensors = {**features, **await run.aside(view.maps, view.clicks, sigma)}
        probability = (await run.infer(self.model, tensors))["probability"]
        above = threshold or self.model.card.threshold or _THRESHOLD
        mask, score = await run.aside(view.cut_out, probability, above, image.height, image.width)
        return Selection(mask, prompt, view.notices, score, above, view.crop, probability)

    async def _features(self, run: InteractiveRun, encoder: Model, image: Picture, view: View) -> Features:
        """Return what the encoder makes of the first clicks, remembered where that may be."""
        if run.memory is None:
            return await self._encode(run, encoder, image, view)
        box = view.crop.box
        key = FeatureKey(
            tenant=run.memory.tenant,
            image=run.memory.image,
            model=encoder.name,
            digest=encoder.digest,
            crop=(box.x0, box.y0, box.x1, box.y1),
            clicks=tuple((int(x), int(y), role == 0) for role, points in enumerate(view.first) for x, y in points),
        )
        features = await run.memory.store.get(key)
        if features is None:
            features = await self._encode(run, encoder, image, view)
            await run.memory.store.put(key, features)
        return features

    async def _encode(self, run: InteractiveRun, encoder: Model, image: Picture, view: View) -> Features:
        shown = await run.aside(view.shown, await image.pixels(), view.first, self.clicks.sigma)
        return await run.infer(encoder, shown)


def _with_found_click(selection: Selection) -> Selection:
    ((x, y),) = selection.prompt.positive
    return replace(selection, notices=(f"the inside click was taken at ({x:g}, {y:g})", *selection.notices))
