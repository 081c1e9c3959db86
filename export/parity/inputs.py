"""Inputs that the parity gate tries graphs with: drawn, and the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from maskgate_client.scenes import draw_scene, draw_terrain
from numpy.typing import NDArray

from export.graphs.runners import Pixels
from export.task import Tensors
from gateway.vision.clicks import Points, as_points, click_map
from gateway.vision.windowing import LUNG, from_windowed

Tiles = Literal["noise", "constant", "natural"]
KINDS: tuple[Tiles, ...] = ("noise", "constant", "natural")

# From mid-grey outwards.
_LEVELS = np.array([128, 0, 255, 64, 192, 32, 224, 96], np.uint8)


def draw_images(inputs: Tensors, kind: Tiles, count: int) -> list[Pixels]:
    """Return `count` tiles for each input of a graph of RGB images of one size."""
    return draw_tiles(kind, len(inputs), count, inputs[0].shape[0])


def draw_tiles(kind: Tiles, roles: int, count: int, tile: int) -> list[Pixels]:
    """Return `count` tiles for each role, uint8, (count, tile, tile, 3): one image, a pair, or a series of dates."""
    shape = (roles, count, tile, tile, 3)
    if kind == "noise":
        return list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    if kind == "constant":
        # The last role runs the other way, and those between begin elsewhere, so that all differ.
        rows = [np.resize(np.roll(_LEVELS, 2 * role), count) for role in range(max(1, roles - 1))]
        rows += [np.resize(_LEVELS[::-1], count)][: roles - 1]
        return [np.array(np.broadcast_to(row[:, None, None, None], shape[1:])) for row in rows]
    scenes = [draw_scene(seed, tile) for seed in range(count)]
    pre, post = (np.stack([getattr(scene, role) for scene in scenes]) for role in ("pre", "post"))
    # The disaster comes before the last date.
    return [*[pre] * max(1, roles - 1), *[post][: roles - 1]]


def draw_rasters(names: Sequence[str], kind: Tiles, count: int, tile: int) -> list[NDArray[Any]]:
    """Return `count` tiles of each raster, `elevation`, `surface` or `landcover`; every second lacks its upper half.

    Heights are float32 (count, tile, tile), classes uint8; what lacks is NaN or 255.
    """
    drawn: dict[str, NDArray[Any]] = {}
    shape = (count, tile, tile)
    if kind == "natural":
        scenes = [draw_terrain(seed, tile) for seed in range(count)]
        elevation, surface, _, landcover = (np.stack(rasters) for rasters in zip(*scenes, strict=True))
        drawn = {"elevation": elevation, "surface": surface, "landcover": landcover}
    elif kind == "noise":
        rng = np.random.default_rng(2)
        heights = {name: rng.uniform(-100, 100, shape).astype(np.float32) for name in ("elevation", "surface")}
        drawn = {**heights, "landcover": rng.integers(0, 256, shape, np.uint8)}
    else:
        levels = np.broadcast_to(np.resize(_LEVELS, count)[:, None, None], shape)
        drawn = {"elevation": levels.astype(np.float32), "surface": levels.astype(np.float32), "landcover": levels % 5}
    for raster in drawn.values():
        raster[1::2, : tile // 2] = np.nan if raster.dtype.kind == "f" else 255
    return [drawn[name] for name in names]


def draw_slices(kind: Tiles, count: int, size: int) -> NDArray[np.int16]:
    """Return `count` slices in Hounsfield units, int16 (count, size, size), some of them beyond any window."""
    if kind == "noise":
        return np.random.default_rng(0).integers(-2000, 3000, (count, size, size), np.int16)
    if kind == "constant":
        units = np.resize(np.array([-600, -3024, 3071, -1250, 250, 40, -850, 0], np.int16), count)
        return np.array(np.broadcast_to(units[:, None, None], (count, size, size)))
    [scenes] = draw_tiles("natural", 1, count, size)
    return from_windowed(scenes[..., 1], LUNG)


class Clicked(NamedTuple):
    """Crops, uint8 (N, S, S, 3), with click maps, uint8 (N, S, S, M): of the first clicks, and of all so far."""

    crops: Pixels
    first: Pixels
    clicks: Pixels


def draw_clicked(kind: Tiles, maps: int, count: int, size: int) -> Clicked:
    """Return `count` crops with `maps` click maps each; further clicks have been made in all of them."""
    [crops] = draw_tiles(kind, 1, count, size)
    shape = (count, size, size, maps)
    if kind == "noise":
        first, further = np.random.default_rng(1).integers(0, 256, (2, *shape), np.uint8)
        return Clicked(crops, first, np.maximum(first, further))
    if kind == "constant":
        first = np.array(np.broadcast_to(np.resize(_LEVELS[::-1], count)[:, None, None, None], shape))
        return Clicked(crops, first, np.maximum(first, 128))
    drawn = [_click_maps(np.random.default_rng(seed), maps, size) for seed in range(count)]
    return Clicked(crops, np.stack([first for first, _ in drawn]), np.stack([clicks for _, clicks in drawn]))


def _click_maps(rng: np.random.Generator, maps: int, size: int) -> tuple[Pixels, Pixels]:
    """Return the maps of a person's first clicks, and of those with one more inside and one more outside."""
    start, end = rng.uniform((0.05, 0.6), (0.3, 0.95), (2, 2)).T * size
    (x0, y0), (x1, y1) = start, end
    if maps == 1:
        extremes = _between(rng, start, end, 4)
        extremes[[0, 2], 1], extremes[[1, 3], 0] = (y0, y1), (x1, x0)
        drawn = _mapped([extremes], size)
        return drawn, drawn
    corners = as_points([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    inside, outside = _between(rng, start, end, 2), _between(rng, start, end, 1)
    return (
        _mapped([inside[:1], corners], size),
        _mapped([inside, np.concatenate([corners, outside])], size),
    )


def _between(rng: np.random.Generator, start: Points, end: Points, count: int) -> Points:
    return np.asarray(rng.uniform(start, end, (count, 2)))


def _mapped(points: list[Points], size: int) -> Pixels:
    return np.stack([click_map(each, size, 10 * size / 512) for each in points], axis=-1)
