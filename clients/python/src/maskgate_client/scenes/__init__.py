"""Scenes drawn by code: a town from above before and after a disaster, with exact labels.

They serve where no photograph may travel: as examples to try the service with, as inputs of tests, and as extra
training data. `plan` lays a town out in `shapes`, `paint` draws it under a given light, `storm` decides and
draws the damage, `terrain` has what is known of the ground beside pictures, and `texture` holds the noise they share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from maskgate_client.scenes.paint import cover, draw_ground, draw_look, paint
from maskgate_client.scenes.plan import draw_plan
from maskgate_client.scenes.storm import calm, draw_storm, footprints
from maskgate_client.scenes.terrain import Terrain, charted
from maskgate_client.scenes.texture import Field, Pixels

__all__ = ["SMALLEST", "Scene", "Terrain", "draw_cover", "draw_scene", "draw_terrain"]

SMALLEST = 64
"""The smallest side a scene can have, in pixels."""

R = TypeVar("R", Pixels, Field)

_MARGIN = 2
"""How far the second picture may be off the first, in pixels, as co-registered satellite pairs are."""


@dataclass(frozen=True)
class Scene:
    """A drawn pair and its truth.

    Attributes:
        pre: uint8 (size, size, 3), RGB, before the disaster.
        post: uint8 (size, size, 3), RGB, after it, at most two pixels off `pre`.
        labels: uint8 (size, size): 0 background, 1 no damage, 2 minor, 3 major, 4 destroyed, exactly on the
            roofs in `pre`.
    """

    pre: Pixels
    post: Pixels
    labels: Pixels


def draw_scene(seed: int, size: int = 1024) -> Scene:
    """Draw the scene with the number `seed` (≥ 0); the same number always gives the same scene.

    One pixel is about half a metre, whatever `size` is: smaller scenes show less of a town.

    Raises:
        ValueError: `size` is below `SMALLEST`, or `seed` is negative.
    """
    _check(size)
    plans, before, after = (np.random.default_rng((seed, stream)) for stream in range(3))
    plan = draw_plan(plans, size + 2 * _MARGIN)
    ground = draw_ground(plans, plan.size)
    storm = draw_storm(after, plan)
    pre = paint(before, plan, ground, draw_look(before), calm(plan))
    post = paint(after, plan, ground, draw_look(after), storm)
    labels = np.asarray(footprints(plan, storm.damage))
    dx, dy = after.integers(0, 2 * _MARGIN + 1, 2).tolist()
    return Scene(
        _window(pre, _MARGIN, _MARGIN, size), _window(post, dx, dy, size), _window(labels, _MARGIN, _MARGIN, size)
    )


def draw_cover(seed: int, size: int = 1024) -> Pixels:
    """Return what the ground of `draw_scene`'s `pre` is covered with, uint8 (size, size), exactly as it is drawn there.

    Values are 0 open ground, 1 building, 2 road, 3 tree, 4 water.

    Raises:
        ValueError: as `draw_scene`.
    """
    _check(size)
    plan = draw_plan(np.random.default_rng((seed, 0)), size + 2 * _MARGIN)
    return _window(cover(plan), _MARGIN, _MARGIN, size)


def draw_terrain(seed: int, size: int = 1024) -> Terrain:
    """Return elevation, heights above ground and land cover of the scene with the number `seed`, on the grid of `pre`.

    Raises:
        ValueError: as `draw_scene`.
    """
    _check(size)
    plans, after, charts = (np.random.default_rng((seed, stream)) for stream in (0, 2, 3))
    plan = draw_plan(plans, size + 2 * _MARGIN)
    *heights, landcover = charted(charts, plan, draw_storm(after, plan))
    elevation, before, later = (_window(raster, _MARGIN, _MARGIN, size) for raster in heights)
    return Terrain(elevation, before, later, _window(landcover, _MARGIN, _MARGIN, size))


def _check(size: int) -> None:
    if size < SMALLEST:
        raise ValueError(f"a scene has at least {SMALLEST} pixels a side")


def _window(pixels: R, x: int, y: int, size: int) -> R:
    """Return a copy of the `size` × `size` pixels from (x, y)."""
    return pixels[y : y + size, x : x + size].copy()
