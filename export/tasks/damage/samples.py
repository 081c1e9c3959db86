"""Training samples: crops of image pairs held in memory at reduced size, taken where there is something to learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
from maskgate_client.scenes import Terrain
from numpy.random import Generator
from numpy.typing import NDArray

from export.tasks.damage.data import UNCLASSIFIED, LabelledPair
from export.training import augment
from export.training.sampling import draw_samples, shares

Image = NDArray[np.uint8]
Views = tuple[Image, Image, Image]
"""Crops of one place: pre and post (H, W, 3) RGB, labels (H, W)."""

_DAMAGE = (1, 2, 3, 4)
_RARE = (3, 4, 4)
_MOST_PASTED = 4
_SIDE = 1024
"""Of xBD's tiles."""
BETWEEN = 2
"""Images of a series between that before the disaster and the last one after it."""
_CLOUDED = 0.3
"""Of the images between the two."""
_MEASURED_AFTER, _CUT = 0.5, 0.25
"""Of the samples whose heights are known, those of after the disaster; of known rasters, those that lack a part."""
_MISSING = {"elevation": np.float32(np.nan), "surface": np.float32(np.nan), "landcover": np.uint8(255)}
"""What stands in each raster where nothing is known."""
_DONOR = 128
"""Side of a crop from which a building is copied, in pixels of the images: most houses fit."""
_AROUND = 8
"""Pixels of the images beside a copied building that come with it: debris, shadow."""


@dataclass(frozen=True)
class Tile:
    """A pair at training size: ``pre`` and ``post`` (H, W, 3) RGB and ``labels`` (H, W), all uint8.

    ``buildings`` holds per damage class the centres (x, y) of its buildings in pixels, (buildings, 2); ``terrain`` is
    what is known of the ground, on the same grid.
    """

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    buildings: dict[int, NDArray[np.float64]]
    terrain: Terrain | None = field(default=None, kw_only=True)


T = TypeVar("T", bound=Tile)


@dataclass(frozen=True)
class Batch:
    """Samples of one step: images (N, S, S, 3) and labels (N, S, S) uint8, importance (N, S, S) float32.

    Of series, ``between`` has the images of the dates between the two, the oldest first. ``rasters`` are (N, S, S), as
    served graphs take them, for networks that take some.
    """

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    importance: NDArray[np.float32]
    between: tuple[NDArray[np.uint8], ...] = ()
    rasters: tuple[NDArray[Any], ...] = ()


@dataclass(frozen=True)
class Draw:
    """Where samples come from.

    Attributes:
        crop: side of a sample in reduced pixels.
        batch: samples per step.
        anywhere: share of crops that lie anywhere; the others lie near a building of an evenly drawn class.
        drawn: share of crops from drawn scenes, where there are photographs too.
        unchanged: share of samples that show the same ground twice, every building standing.
        swapped: share of samples with pre and post exchanged: more looks for a network that sees only one.
        pasted: share of samples into which destroyed or badly damaged buildings of other places are copied.
        shift: standard deviation of the misregistration added to a pair, in reduced pixels.
        balance: 0 draws every pair alike, 1 every event; between them an event's share is its number of pairs to the
            power of 1 − balance.
        series: share of steps whose samples have images between the two; see `_between`.
        known: share of the samples of drawn scenes in which each raster is known; of photographs none is.
    """

    crop: int
    batch: int
    anywhere: float = 0.35
    drawn: float = 0.15
    unchanged: float = 0.05
    swapped: float = 0.0
    pasted: float = 0.0
    shift: float = 1.0
    balance: float = 0.0
    series: float = 0.0
    known: float = 0.0


def load_tile(pair: LabelledPair, reduction: int, terrain: Terrain | None = None) -> Tile:
    """Return a pair reduced: images averaged over reduction x reduction pixels, as the served graph averages them.

    Args:
        pair: is read.
        reduction: pixels.
        terrain: what is known of the ground, of the pair's size.
    """
    labels = pair.read_labels()
    # A tile of half xBD's side was halved by those who passed it on: its pixels are twice as wide as others'.
    if 2 * max(labels.shape) == _SIDE:
        labels = labels.repeat(2, axis=0).repeat(2, axis=1)
    height, width = (side // reduction for side in labels.shape)
    pre, post = (_resized(image, height, width) for image in (pair.read_pre(), pair.read_post()))
    small = labels[reduction // 2 :: reduction, reduction // 2 :: reduction][:height, :width].copy()
    centres = {value: _centres(small == value) for value in _DAMAGE}
    return Tile(pre, post, small, centres, terrain=None if terrain is None else _reduced(terrain, height, width))


def _reduced(terrain: Terrain, height: int, width: int) -> Terrain:
    *heights, classes = terrain
    means = [cv2.resize(raster, (width, height), interpolation=cv2.INTER_AREA) for raster in heights]
    nearest = cv2.resize(classes, (width, height), interpolation=cv2.INTER_NEAREST)
    return Terrain(*(np.asarray(raster) for raster in (*means, nearest)))


def _resized(image: Image, height: int, width: int) -> Image:
    method = cv2.INTER_AREA if height <= len(image) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


class Sampler:
    """Takes batches of random crops from photographs and drawn scenes."""

    def __init__(
        self,
        photographs: Sequence[Tile],
        scenes: Sequence[Tile],
        draw: Draw,
        seed: int,
        events: Sequence[str] | None = None,
        rasters: Sequence[str] = (),
        reduction: int = 1,
    ) -> None:
        """Keep the tiles and note which of them hold each damage class.

        Without `events` all photographs are of one. Samples have the `rasters` that the network takes. Tiles are
        reduced by `reduction`.

        Raises:
            ValueError: there is no tile at all.
        """
        weighted = (
            (photographs, shares(events or [""] * len(photographs), draw.balance).tolist() if photographs else []),
            (scenes, [1.0] * len(scenes)),
        )
        self._sources = [Source(tiles, weights) for tiles, weights in weighted if tiles]
        if not self._sources:
            raise ValueError("nothing to train on: neither photographs nor drawn scenes")
        self._draw, self._seed, self._rasters = draw, seed, tuple(rasters)
        self._donor, self._around = min(_DONOR // reduction, draw.crop), _AROUND // reduction

    def batch(self, step: int) -> Batch:
        """Return the batch of that step."""
        slots = BETWEEN if np.random.default_rng((self._seed, step)).random() < self._draw.series else 0
        drawn = draw_samples(partial(self._sample, slots=slots), self._seed, step, self._draw.batch)
        pre, post, labels, *others = map(np.stack, drawn)
        between, rasters = tuple(others[:slots]), tuple(others[slots:])
        return Batch(pre, post, labels, np.stack([importance(label) for label in labels]), between, rasters)

    def _sample(self, rng: Generator, slots: int) -> tuple[NDArray[Any], ...]:
        """Return pre, post and labels of a sample, so many images between the two, and rasters."""
        draw = self._draw
        source = self._sources[-1 if rng.random() < draw.drawn else 0]
        tile, centre = source.anywhere(rng) if rng.random() < draw.anywhere else source.at_building(rng, draw.crop / 3)
        transform = augment.crop_transform(rng, centre, draw.crop)
        pre, post, labels = self._views(rng, tile, transform, draw.crop)
        unchanged = rng.random() < draw.unchanged
        if unchanged:
            post, labels = pre, np.minimum(labels, 1)
        elif rng.random() < draw.pasted and tile.terrain is None:
            for _ in range(rng.integers(1, _MOST_PASTED + 1)):
                other, place = source.at_building(rng, 0, _RARE)
                donor = self._views(rng, other, augment.crop_transform(rng, place, self._donor), self._donor)
                pre, post, labels = paste_building(rng, (pre, post, labels), donor, self._around)
        if rng.random() < draw.swapped:
            pre, post = post, pre
        lit = [augment.degrade(rng, image) for image in augment.relight(rng, pre, post)]
        between = _between(rng, pre, post, lit[0], slots)
        return lit[0], lit[1], labels, *between, *self._charted(rng, tile, transform, changed=not unchanged)

    def _charted(
        self, rng: Generator, tile: Tile, transform: NDArray[np.float64], *, changed: bool
    ) -> Iterator[NDArray[Any]]:
        """Yield the rasters of a crop; of one that is known a part may lack, and it is off as the images are."""
        size = self._draw.crop
        for name in self._rasters:
            missing = _MISSING[name]
            if tile.terrain is None or rng.random() >= self._draw.known:
                yield np.full((size, size), missing)
                continue
            # Heights were measured before the disaster, or after it: who sends some need not say when.
            late = name == "surface" and changed and rng.random() < _MEASURED_AFTER
            dated = {"surface": "surface_after" if late else "surface_before"}
            warp = augment.warp_labels if name == "landcover" else augment.warp_image
            shifted = augment.shift(rng, transform, self._draw.shift)
            raster = warp(getattr(tile.terrain, dated.get(name, name)), shifted, size).copy()
            if rng.random() < _CUT:
                raster[augment.beyond_a_line(rng, size)] = missing
            yield raster

    def _views(self, rng: Generator, tile: Tile, transform: NDArray[np.float64], size: int) -> Views:
        """Return pre, post and labels of a crop; post is off by the misregistration."""
        shifted = augment.shift(rng, transform, self._draw.shift)
        return (
            augment.warp_image(tile.pre, transform, size),
            augment.warp_image(tile.post, shifted, size),
            augment.warp_labels(tile.labels, transform, size),
        )


class Source(Generic[T]):
    """Tiles of one kind, and the ways to place a crop on them."""

    def __init__(self, tiles: Sequence[T], weights: Sequence[float]) -> None:
        """Keep the tiles with how often each is drawn, and note which of them hold each damage class."""
        self._tiles = list(zip(tiles, weights, strict=True))
        self._holders = {value: [each for each in self._tiles if len(each[0].buildings[value])] for value in _DAMAGE}

    def anywhere(self, rng: Generator) -> tuple[T, tuple[float, float]]:
        """Return a tile and a crop centre (x, y) anywhere on it."""
        tile = _drawn(rng, self._tiles)
        height, width = tile.labels.shape
        return tile, (rng.uniform(0, width), rng.uniform(0, height))

    def at_building(
        self, rng: Generator, reach: float, classes: tuple[int, ...] = _DAMAGE
    ) -> tuple[T, tuple[float, float]]:
        """Return a tile and a crop centre (x, y) at most ``reach`` away from a building of an evenly drawn class."""
        choices = [(value, self._holders[value]) for value in classes if self._holders[value]]
        if not choices:
            return self.anywhere(rng)
        value, holders = choices[int(rng.integers(len(choices)))]
        tile = _drawn(rng, holders)
        x, y = rng.choice(tile.buildings[value]) + rng.uniform(-reach, reach, 2)
        return tile, (float(x), float(y))


def _between(rng: Generator, pre: Image, post: Image, shown: Image, slots: int) -> list[Image]:
    """Return images of so many dates between the two, made of them in another light, for want of real series.

    From some date on they show what `post` does. As the gateway has it, the first are `shown` itself, the image before
    the disaster as the network sees it, where a series has fewer dates. Some are hidden by a cloud in part.
    """
    dates, change = rng.integers(0, slots + 1), rng.integers(0, slots + 1)
    images = [shown] * (slots - dates)
    for date in range(slots - dates, slots):
        image = augment.degrade(rng, augment.relight_one(rng, post if date >= change else pre))
        images.append(augment.cloud(rng, image) if rng.random() < _CLOUDED else image)
    return images


def _drawn(rng: Generator, tiles: Sequence[tuple[T, float]]) -> T:
    weights = np.array([weight for _, weight in tiles])
    return tiles[int(rng.choice(len(tiles), p=weights / weights.sum()))][0]


def importance(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much each pixel of a label map counts: 10 / sqrt(area of its building); 0 off judged buildings.

    The damage of a small house then weighs more than its pixels, yet less than a whole warehouse.
    """
    judged = ((labels > 0) & (labels != UNCLASSIFIED)).astype(np.uint8)
    _, components, statistics, _ = cv2.connectedComponentsWithStats(judged, connectivity=4)
    weight = 10 / np.sqrt(statistics[:, cv2.CC_STAT_AREA].astype(np.float32).clip(1))
    weight[0] = 0
    return np.asarray(weight[components], np.float32)


def _centres(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)[3]
    return np.asarray(centroids[1:], np.float64)


def paste_building(rng: Generator, scene: Views, donor: Views, around: int) -> Views:
    """Return the scene with the building at the middle of the donor copied to a random place, the same in all views.

    Within `around` pixels of the building, what lies beside it is copied too.
    Views of the donor are smaller than those of the scene. Its edges are blended into pre and post. A donor without
    a building at its middle, or with one that reaches its border, leaves the scene as it is.
    """
    labels = donor[2]
    building = _middle_component(labels > 0)
    if not building.any() or building[[0, -1]].any() or building[:, [0, -1]].any():
        return scene
    size, room = len(labels), len(scene[2]) - len(labels)
    x, y = rng.integers(0, room + 1, 2)
    window = np.s_[y : y + size, x : x + size]
    side = 2 * around + 1
    copied = cv2.dilate(building.astype(np.uint8), np.ones((side, side), np.uint8))
    blend = cv2.GaussianBlur(copied.astype(np.float32), (0, 0), 1.0)[..., None]
    pasted = tuple(view.copy() for view in scene)
    for target, source in zip(pasted[:2], donor[:2], strict=True):
        target[window] = (blend * source + (1 - blend) * target[window] + 0.5).astype(np.uint8)
    pasted[2][window] = np.where(copied > 0, labels * building, pasted[2][window])
    return pasted[0], pasted[1], pasted[2]


def _middle_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the component of a mask that lies at or nearest around the middle; empty where there is none."""
    components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    middle = len(mask) // 2
    near = components[middle - 2 : middle + 3, middle - 2 : middle + 3]
    values = near[near > 0]
    return np.asarray(components == (np.bincount(values).argmax() if values.size else -1))
