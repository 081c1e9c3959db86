"""What is known of a drawn town's ground beside its pictures: elevation, heights above ground, and land cover.

They agree with what is painted: a house is as high as its shadow is long, a destroyed one as low as its shadow, water
lies level and lowest, and floodwater stood where the ground is low. Each is as coarse as such rasters are.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from maskgate_client.scenes.paint import cover
from maskgate_client.scenes.shapes import Plan
from maskgate_client.scenes.storm import DESTROYED, Storm, calm
from maskgate_client.scenes.texture import Field, Pixels, noise

METRES = 0.5
"""Of a pixel on the ground."""

_LEFT = 0.12
"""Share of its height that a destroyed building is left with: that of its shadow."""

_LIDAR, _COVER = 2, 4
"""Pixels of a cell of heights, and of one of land cover."""

_NOISE = 0.1
"""Standard deviation of measured heights in metres."""

_FLOOD = 6.0
"""Metres by which the ground is lower where a flood came hardest."""


class Terrain(NamedTuple):
    """Rasters of one grid.

    Attributes:
        elevation: float32 (size, size), metres above sea level of the bare ground.
        surface_before: float32 (size, size), metres above ground of what stands there before the disaster.
        surface_after: float32 (size, size), the same after it.
        landcover: uint8 (size, size) before it: 0 open ground, 1 building, 2 road, 3 tree, 4 water.
    """

    elevation: Field
    surface_before: Field
    surface_after: Field
    landcover: Pixels


def charted(rng: np.random.Generator, plan: Plan, storm: Storm) -> Terrain:
    """Return the rasters of the whole plan."""
    before, after = (_surface(rng, plan, each) for each in (calm(plan), storm))
    half = _COVER // 2
    coarse = cover(plan)[half::_COVER, half::_COVER].repeat(_COVER, axis=0).repeat(_COVER, axis=1)
    return Terrain(_elevation(rng, plan, storm), before, after, np.ascontiguousarray(_fitted(coarse, plan.size)))


def _elevation(rng: np.random.Generator, plan: Plan, storm: Storm) -> Field:
    """Return hills on a slope, lower where a flood stood, and level where there is water."""
    size = plan.size
    slope, angle = rng.uniform(0, 0.03) * METRES, rng.uniform(0, 2 * pi)
    y, x = np.mgrid[:size, :size].astype(np.float32) - size / 2
    ground = np.float32(rng.uniform(2, 800)) + slope * (x * np.float32(cos(angle)) + y * np.float32(sin(angle)))
    ground += np.float32(rng.uniform(0.5, 5)) * noise(rng, size, 500, 3)
    if storm.kind == "flood":
        ground -= np.float32(_FLOOD) * storm.severity
    if plan.water.any():
        level = ground.min() - np.float32(1)
        bank = np.asarray(Image.fromarray(plan.water.astype(np.float32)).resize((size // 16, size // 16)), np.float32)
        near = np.asarray(Image.fromarray(bank).resize((size, size), Image.Resampling.BILINEAR)).clip(0, 1)
        ground += (level - ground) * np.maximum(near, plan.water)
    return np.asarray(ground, np.float32)


def _surface(rng: np.random.Generator, plan: Plan, storm: Storm) -> Field:
    """Return what stands above the ground, as a flight of LiDAR would measure it."""
    heights = Image.new("F", (plan.size, plan.size))
    draw = ImageDraw.Draw(heights)
    for x, y, radius in plan.trees[~storm.felled].tolist():
        for share, height in ((1.0, 0.6), (0.6, 1.0)):
            reach = share * radius
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=METRES * height * radius)
    for building, damage in zip(plan.buildings, storm.damage, strict=True):
        height = METRES * building.height * (_LEFT if damage == DESTROYED else 1)
        for wing in building.wings:
            draw.polygon(wing.corners(), fill=height)
    cells = -(-plan.size // _LIDAR)
    measured = np.asarray(heights.resize((cells, cells), Image.Resampling.BOX), np.float32)
    measured = measured + rng.standard_normal(measured.shape, np.float32) * np.float32(_NOISE)
    fine = np.asarray(Image.fromarray(measured).resize((plan.size, plan.size), Image.Resampling.BILINEAR))
    return np.asarray(fine.clip(0, None), np.float32)


def _fitted(raster: Pixels, size: int) -> Pixels:
    """Return a raster of at least nearly `size` a side at that size, its last row and column repeated."""
    lacking = [(0, max(0, size - side)) for side in raster.shape]
    return np.pad(raster, lacking, mode="edge")[:size, :size]
