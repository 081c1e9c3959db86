"""Interactive models of the repository as selectors: IOG, its refinement, DEXTR, and others that take such clicks.

The pipelines are those of Inside-Outside Guidance (Zhang et al., 2020) and DEXTR (Maninis et al., 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import floor

import cv2
import numpy as np

from gateway.engines.base import Model
from gateway.repository.card import ClickSpec
from gateway.sessions.features import FeatureKey, Features
from gateway.tasks.interactive.prompts import Intake, Prompt
from gateway.tasks.interactive.selectors import InteractiveRun, Picture, Selection, said_of
from gateway.vision.clicks import Box, Crop, Pixels, Points, as_points, box_around, click_map, inside_point, pushed_out
from gateway.vision.masks import ObjectMask, overlap
from gateway.vision.promises import honoured

_EXTREMES = Intake("four extreme points, and nothing else", frozenset({"extreme"}))
_FIRST_CLICKS = Intake(
    "a box, and one positive click or none; or the click alone",
    frozenset(),
    frozenset({"box", "positive"}),
    most_positive=1,
    hint="click-lite0 takes more clicks.",
    one_of=frozenset({"box", "positive"}),
)
_ALL_CLICKS = Intake(
    "a box, and any number of positive and negative clicks; or clicks alone, a positive one among them",
    frozenset(),
    frozenset({"box", "positive", "negative"}),
    one_of=frozenset({"box", "positive"}),
)
_THRESHOLD = 0.5

_TINY = 12
"""Side of a box, in pixels, below which a network sees little."""

_LEARNT = 640
"""Longer side, in pixels, of the photographs from which models learnt that have a margin in pixels."""

_NEAR = 0.1
"""Share of a box's shorter side from its centre within which a negative click keeps the inside click away."""

_SHARES = (0.2, 0.45, 0.9)
"""Sides of the boxes in which an object without a box is looked for, as shares of the image's longer side."""

_ROUNDS, _SETTLED = 3, 0.97
"""How often it is looked for again in the box of what was found, and the overlap of two masks that ends that."""

_SAME = 0.9
"""Overlap from which on two masks are one candidate."""

_FEW = 32
"""Clicks that are drawn at once, on the event loop."""

_GRID = 16
"""Places per axis at which an inside click away from negative ones is looked for."""


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
        self, probability: Pixels, threshold: float, prompt: Prompt, sigma: float, height: int, width: int
    ) -> tuple[ObjectMask, float | None, tuple[str, ...]]:
        """Return the object in an image of the size given, its mean probability, and what to say of it.

        The probability is None where nothing is found.

        Args:
            probability: uint8 (crop.size, crop.size), 255 is certainty.
            threshold: above which a pixel is the object's.
            prompt: whose clicks the mask has to honour.
            sigma: of a click, in crop pixels.
            height: of the image.
            width: of the image.
        """
        place = self.reach.clipped(height, width)
        values = self.crop.uncut(probability, place)
        # The small slack keeps a threshold of k / 255, not exactly representable, from letting k pass.
        above = floor(255 * threshold + 1e-6)
        positive, negative = (as_points(points) - (place.x0, place.y0) for points in (prompt.positive, prompt.negative))
        radius = sigma / 2 * max(self.crop.box.width, self.crop.box.height) / self.crop.size
        found = values > above
        part = honoured(found, positive, negative, radius, values, above)
        mask = ObjectMask.within(part, place, height, width)
        # OpenCV's mean under a mask takes four times as long.
        total = cv2.sumElems(cv2.bitwise_and(values, values, mask=part.view(np.uint8)))[0]
        score = round(total / mask.area / 255, 4) if mask.box else None
        return mask, score, said_of(mask, prompt, found=bool(found.any()))


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
    if min(box.width, box.height) < _TINY:
        notices.append(f"boxes of less than {_TINY} pixels are little to a network; try grabcut or watershed")
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


def at_scale(clicks: ClickSpec, height: int, width: int) -> ClickSpec:
    """Return how a model is shown an image: where it is larger than those learnt from, the margin is larger alike."""
    larger = max(height, width) / _LEARNT
    return clicks if larger <= 1 else clicks.model_copy(update={"margin": round(clicks.margin * larger)})


def inside_of(box: Box, negative: Points) -> tuple[int, int]:
    """Return the centre (x, y) of a box, or where negative clicks are near it, a place in the box away from them."""
    centre = (box.x0 + box.x1) // 2, (box.y0 + box.y1) // 2
    side = min(box.width, box.height)
    if not (np.hypot(*(negative - centre).T) <= max(1.0, _NEAR * side)).any():
        return centre
    columns = np.linspace(box.x0, box.x1, min(_GRID, box.width) + 2)[1:-1].round()
    rows = np.linspace(box.y0, box.y1, min(_GRID, box.height) + 2)[1:-1].round()
    places = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    edges = np.concatenate([places - (box.x0, box.y0), (box.x1, box.y1) - places], axis=1).min(axis=1)
    clicks = np.hypot(*(places[:, None] - negative[None]).transpose(2, 0, 1)).min(axis=1)
    x, y = places[np.minimum(edges, clicks).argmax()].astype(int).tolist()
    return x, y


def _around(clicks: Points, height: int, width: int) -> Iterator[Box]:
    """Yield boxes of several sizes around clicks, inside an image of that size, the smallest first."""
    clicked = box_around(clicks)
    for share in _SHARES:
        side = round(share * max(height, width))
        across, down = (max(0, side - length) // 2 for length in (clicked.width, clicked.height))
        yield (
            Box(clicked.x0 - across, clicked.y0 - down, clicked.x1 + across, clicked.y1 + down)
            .relaxed(1)
            .clipped(height, width)
        )


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

        A box without a positive click is first asked with its centre for one, or a place away from negative clicks.
        Where the mask found does not hold that, it is asked again with the point of the mask that is farthest from its
        edge. Clicks without a box are asked in boxes of several sizes; see `_grown`.
        """
        if self.clicks.prompt == "dextr":
            return await self._select(run, image, prompt, threshold)
        if prompt.corners is None:
            return await self._grown(run, image, prompt, threshold)
        if prompt.positive:
            return await self._select(run, image, prompt, threshold)
        centre = inside_of(prompt.box, as_points(prompt.negative))
        guess = await self._select(run, image, replace(prompt, positive=(centre,)), threshold, prompt)
        around = guess.mask.box
        if around is None or guess.mask.holds(*centre):
            return _with_found_click(guess)
        x, y = await run.aside(inside_point, guess.mask.inside)
        found = replace(prompt, positive=((around.x0 + x, around.y0 + y),))
        return _with_found_click(await self._select(run, image, found, threshold, prompt))

    async def _grown(self, run: InteractiveRun, image: Picture, prompt: Prompt, threshold: float | None) -> Selection:
        """Return the object at clicks without a box.

        In boxes of several sizes around the clicks it is looked for, and again in the box of what was found. A mask
        that its own box gives back is likely one object, and not a part of it or two.
        """
        candidates: list[tuple[float, Selection]] = []
        for box in _around(as_points(prompt.positive), image.height, image.width):
            found, agreement = await self._select(run, image, prompt.boxed(box), threshold), 0.0
            for _ in range(_ROUNDS):
                around = found.mask.box
                if around is None or min(around.width, around.height) < 2 or agreement > _SETTLED:
                    break
                again = await self._select(run, image, prompt.boxed(around), threshold)
                found, agreement = again, overlap(found.mask, again.mask)
            score = round(agreement * (found.score or 0), 4)
            if score and all(overlap(found.mask, other.mask) < _SAME for _, other in candidates):
                candidates.append((score, found))
        if not candidates:
            # Nothing at any size: the answer to the largest box says so.
            return await self._select(run, image, prompt.boxed(Box(0, 0, image.width - 1, image.height - 1)), threshold)
        candidates.sort(key=lambda candidate: -candidate[0])
        best = candidates[0][1]
        box = best.prompt.box
        notice = f"no box was given: one was found at ({box.x0}, {box.y0}, {box.x1 + 1}, {box.y1 + 1})"
        return replace(best, notices=(notice, *best.notices), candidates=tuple(candidates))

    async def _select(
        self,
        run: InteractiveRun,
        image: Picture,
        prompt: Prompt,
        threshold: float | None,
        promised: Prompt | None = None,
    ) -> Selection:
        """Return the object of a prompt as it is; `promised` has the clicks that a person made, not those found."""
        clicks = at_scale(self.clicks, image.height, image.width)
        view = (extreme_view if clicks.prompt == "dextr" else guided_view)(prompt, clicks)
        sigma = self.clicks.sigma
        if self.encoder is None:
            tensors = await run.aside(view.shown, await image.pixels(), view.clicks, sigma)
        else:
            features = await self._features(run, self.encoder, image, view)
            # To have a thread draw a few clicks takes several times as long as to draw them.
            few = sum(map(len, view.clicks)) <= _FEW
            maps = view.maps(view.clicks, sigma) if few else await run.aside(view.maps, view.clicks, sigma)
            tensors = {**features, **maps}
        probability = (await run.infer(self.model, tensors))["probability"]
        above = threshold or self.model.card.threshold or _THRESHOLD
        mask, score, said = await run.aside(
            view.cut_out, probability, above, promised or prompt, sigma, image.height, image.width
        )
        return Selection(mask, prompt, (*view.notices, *said), score, above, view.crop, probability)

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
