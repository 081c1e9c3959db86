"""Ways from clicks to a mask, each as the simulator meets it: something to begin with, and further clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.tasks.interactive.samples import Geometry, extreme_points
from export.tasks.interactive.simulate import Click
from gateway.vision.clicks import Crop, Points, as_points, box_around, box_of_mask, click_map, inside_point, pushed_out

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Probability = NDArray[np.float32]


class Method(Protocol):
    """A way to segment one object with clicks.

    Attributes:
        name: as in tables.
        first: how many clicks the first answer takes.
        refines: whether it takes further clicks.
    """

    @property
    def name(self) -> str:
        """As in tables."""

    @property
    def first(self) -> int:
        """How many clicks the first answer takes."""

    @property
    def refines(self) -> bool:
        """Whether it takes further clicks."""

    def begin(self, image: Pixels, truth: Mask) -> Attempt:
        """Return the attempt at an object whose first clicks follow from its true mask, (H, W)."""


class Attempt(Protocol):
    """One object under way."""

    def mask(self, clicks: Sequence[Click]) -> Mask:
        """Return the answer after the first clicks and these further ones, bool (H, W)."""


class Clicked(Protocol):
    """A network of clicks, in whichever form it runs."""

    def features(self, crop: Pixels, first: Pixels) -> object:
        """Return what is kept of a crop (S, S, 3) with the maps (S, S, M) of its first clicks."""

    def probability(self, features: object, clicks: Pixels) -> Probability:
        """Return the probability (S, S) of the object given the maps of all clicks so far."""


@dataclass(frozen=True)
class IOGMethod:
    """Two corners of a tight box and a click in the middle; further clicks where the network takes them."""

    name: str
    network: Clicked
    geometry: Geometry
    threshold: float
    refines: bool
    first: int = 3

    def begin(self, image: Pixels, truth: Mask) -> Attempt:
        """Return the attempt; the crop is never moved by further clicks."""
        box = box_of_mask(truth)
        if box is None:
            raise ValueError("there is no object")
        geometry = self.geometry
        crop = Crop(box.relaxed(geometry.margin), geometry.size)
        corners = pushed_out(crop.to_crop(box.corners()), geometry.push, geometry.size)
        inside = crop.to_crop(as_points([inside_point(truth)]))
        first = self._maps(inside, corners)
        features = self.network.features(crop.cut(image), first)
        return _IOGAttempt(self, crop, features, inside, corners, truth.shape)

    def _maps(self, inside: Points, outside: Points) -> Pixels:
        return np.stack([click_map(p, self.geometry.size, self.geometry.sigma) for p in (inside, outside)], axis=-1)


@dataclass(frozen=True)
class _IOGAttempt:
    method: IOGMethod
    crop: Crop
    features: object
    inside: Points
    outside: Points
    shape: tuple[int, ...]

    def mask(self, clicks: Sequence[Click]) -> Mask:
        inside, outside = (
            self.crop.to_crop(as_points([(c.x, c.y) for c in clicks if c.positive is positive]))
            for positive in (True, False)
        )
        maps = self.method._maps(np.vstack([self.inside, inside]), np.vstack([self.outside, outside]))
        probability = self.method.network.probability(self.features, maps)
        return self.crop.paste(probability, *self.shape) > self.method.threshold


@dataclass(frozen=True)
class DEXTRMethod:
    """Four extreme points."""

    network: Clicked
    geometry: Geometry
    threshold: float
    name: str = "dextr"
    first: int = 4
    refines: bool = False

    def begin(self, image: Pixels, truth: Mask) -> Attempt:
        """Return the attempt."""
        points = extreme_points(truth, np.random.default_rng(0))
        box = box_around(points)
        crop = Crop(box.relaxed(self.geometry.margin), self.geometry.size)
        maps = click_map(np.trunc(crop.to_crop(points)), self.geometry.size, self.geometry.sigma)[..., None]
        probability = self.network.probability(self.network.features(crop.cut_bicubic(image), maps), maps)
        mask = crop.paste(probability, *truth.shape) > self.threshold
        mask[: box.y0], mask[box.y1 + 1 :], mask[:, : box.x0], mask[:, box.x1 + 1 :] = False, False, False, False
        return Answered(mask)


@dataclass(frozen=True)
class Answered:
    """An attempt that is over with its first clicks."""

    answer: Mask

    def mask(self, clicks: Sequence[Click]) -> Mask:
        """Return the answer; there are no further clicks."""
        if clicks:
            raise ValueError("this method takes no further clicks")
        return self.answer
