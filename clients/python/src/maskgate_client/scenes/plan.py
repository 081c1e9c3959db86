"""Where everything stands: the layout of a town as plain shapes, before anything is painted.

A town is a street grid in its own frame (u along the streets, v across them, pixels from the image centre) that is
bent by a sine and turned into the image. It grows block by block from its centre until it has its number of
buildings; what is left over becomes fields and woods.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, cos, floor, hypot, pi, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from maskgate_client.scenes.shapes import Block, Building, Frame, Plan, Point, Rectangle, Use
from maskgate_client.scenes.texture import RGB, noise, vary

_SOILS: tuple[RGB, ...] = ((128, 116, 92), (148, 132, 104), (116, 104, 84), (160, 148, 122))
_GRASSES: tuple[RGB, ...] = ((86, 98, 58), (98, 106, 70), (72, 92, 54), (112, 110, 72))
_ASPHALTS: tuple[RGB, ...] = ((92, 92, 94), (118, 116, 114), (136, 132, 126), (78, 79, 82))
_HOUSE_ROOFS: tuple[RGB, ...] = (
    (112, 106, 100),
    (140, 132, 122),
    (88, 84, 84),
    (146, 112, 92),
    (158, 92, 70),
    (170, 160, 146),
    (104, 116, 124),
    (190, 184, 176),
    (122, 96, 80),
)
_HALL_ROOFS: tuple[RGB, ...] = ((206, 204, 200), (176, 176, 176), (224, 222, 218), (150, 148, 146), (170, 190, 202))

_GAP = 4
"""Pixels kept free between neighbours, about."""


class _Site:
    """The ground under construction: keeps which pixels are taken, so that no two things overlap."""

    def __init__(self, size: int, water: NDArray[np.bool_]) -> None:
        self.size = size
        shore = Image.fromarray(water.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(9))
        self._taken = shore.point(lambda value: 255 if value else 0)
        self._draw = ImageDraw.Draw(self._taken)
        self.buildings: list[Building] = []
        self.drives: list[tuple[Point, Point]] = []
        self.car_parks: list[Rectangle] = []
        self.pools: list[Rectangle] = []

    def claim(self, wings: tuple[Rectangle, ...]) -> bool:
        """Take the ground under `wings` and say whether it was free and its centre inside the image."""
        if not (0 <= wings[0].x < self.size and 0 <= wings[0].y < self.size):
            return False
        left, top, right, bottom = _box(wings, self.size)
        wanted = Image.new("L", (right - left, bottom - top))
        draw = ImageDraw.Draw(wanted)
        for wing in wings:
            draw.polygon([(x - left, y - top) for x, y in wing.corners()], fill=255, outline=255, width=_GAP)
        if ImageChops.multiply(wanted, self._taken.crop((left, top, right, bottom))).getbbox():
            return False
        for wing in wings:
            self._draw.polygon(wing.corners(), fill=255)
        return True

    def is_free(self, x: float, y: float) -> bool:
        """Say whether the pixel under (x, y) is inside the image and not taken."""
        return 0 <= x < self.size and 0 <= y < self.size and not self._taken.getpixel((int(x), int(y)))


def _box(wings: tuple[Rectangle, ...], size: int) -> tuple[int, int, int, int]:
    """Return (x0, y0, x1, y1) around `wings` with their gap, x1 and y1 outside it, cut to the image."""
    xs, ys = zip(*(corner for wing in wings for corner in wing.corners()), strict=True)
    x0, y0 = max(0, floor(min(xs)) - _GAP), max(0, floor(min(ys)) - _GAP)
    return x0, y0, min(size, ceil(max(xs)) + _GAP), min(size, ceil(max(ys)) + _GAP)


def draw_plan(rng: np.random.Generator, size: int) -> Plan:
    """Lay out a town on `size` × `size` pixels of about half a metre each."""
    frame = Frame(
        size / 2, rng.uniform(0, pi), rng.choice((0.0, 8.0, 26.0)), rng.uniform(600, 1100), rng.uniform(0, 2 * pi)
    )
    water = _water(rng, size)
    site = _Site(size, water)
    target = max(2, round(rng.integers(15, 121) * (size / 1024) ** 2))
    street_width = rng.uniform(11, 16)
    blocks: list[Block] = []
    for cell in _cells(rng, size):
        use: Use = rng.choice(("field", "woods", "park"), p=(0.4, 0.4, 0.2))
        if len(site.buildings) < target:
            use = rng.choice(("homes", "trade", "park"), p=(0.76, 0.14, 0.1)) if blocks else "homes"
        block = Block(*cell, use)
        blocks.append(block)
        if use == "homes":
            _build_homes(rng, site, frame, block, street_width, target)
        elif use == "trade":
            _build_trade(rng, site, frame, block, street_width)
    return Plan(
        size,
        frame,
        tuple(blocks),
        tuple(site.buildings),
        tuple(site.drives),
        tuple(site.car_parks),
        tuple(site.pools),
        _plant(rng, site, frame, blocks, street_width),
        water,
        street_width,
        vary(rng, _SOILS[rng.integers(len(_SOILS))], 8),
        vary(rng, _GRASSES[rng.integers(len(_GRASSES))], 8),
        vary(rng, _ASPHALTS[rng.integers(len(_ASPHALTS))], 6),
    )


def _water(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """Return where there is water: nowhere, a river or a lake shore."""
    kind = rng.choice(("none", "river", "lake"), p=(0.6, 0.2, 0.2))
    if kind == "none":
        return np.zeros((size, size), np.bool_)
    angle, offset = rng.uniform(0, 2 * pi), rng.uniform(0.2, 0.4) * size
    y, x = np.mgrid[:size, :size].astype(np.float32) - size / 2
    across = x * np.float32(cos(angle)) + y * np.float32(sin(angle)) + 24 * noise(rng, size, 300, 4)
    if kind == "lake":
        return np.asarray(across > offset)
    return np.asarray(np.abs(across - offset) < rng.uniform(16, 42))


def _cells(rng: np.random.Generator, size: int) -> Iterator[tuple[float, float, float, float]]:
    """Yield the cells (u0, v0, u1, v1) of the street grid, the nearest to the town's centre first."""
    reach = 0.75 * size + 40
    us = np.cumsum(np.r_[-reach, rng.uniform(210, 380, ceil(2 * reach / 210))])
    vs = np.cumsum(np.r_[-reach, rng.uniform(128, 176, ceil(2 * reach / 128))])
    cells = [(u0, v0, u1, v1) for u0, u1 in pairwise(us) for v0, v1 in pairwise(vs)]
    u, v = rng.uniform(-0.2, 0.2, 2) * size
    yield from sorted(cells, key=lambda c: hypot((c[0] + c[2]) / 2 - u, (c[1] + c[3]) / 2 - v))


def _build_homes(
    rng: np.random.Generator, site: _Site, frame: Frame, block: Block, street_width: float, target: int
) -> None:
    """Put houses, drives, sheds and pools along both long sides of `block`."""
    colours = [_HOUSE_ROOFS[i] for i in rng.choice(len(_HOUSE_ROOFS), 4, replace=False)]
    for street, inward in ((block.v0, 1), (block.v1, -1)):
        u = block.u0 + street_width + rng.uniform(16, 26)
        while u < block.u1 - 24 and len(site.buildings) < target:
            lot = rng.uniform(37, 56)
            width = rng.uniform(17, 24)
            setback = street_width / 2 + rng.uniform(9, 18) + width / 2
            angle = frame.heading(u) + rng.normal(0, 0.03) + (pi / 2 if rng.random() < 0.12 else 0)
            main = Rectangle(*frame.point(u, street + inward * setback), rng.uniform(24, 38), width, angle)
            wings = (main,) if rng.random() < 0.6 else (main, _side_wing(rng, main))
            if rng.random() < 0.92 and site.claim(wings):
                roof: Literal["gable", "hip"] = "hip" if rng.random() < 0.45 else "gable"
                colour = vary(rng, colours[rng.integers(len(colours))], 10)
                site.buildings.append(Building(wings, roof, colour, rng.uniform(6, 9)))
                beside = rng.uniform(-8, 8)
                site.drives.append(
                    (frame.point(u + beside, street), frame.point(u + beside, street + inward * setback))
                )
                back = frame.point(u + rng.uniform(-12, 12), street + inward * (setback + rng.uniform(24, 32)))
                extra = Rectangle(*back, rng.uniform(8, 13), rng.uniform(6, 9), angle)
                luck = rng.random()
                if luck < 0.2 and site.claim((extra,)):
                    site.buildings.append(Building((extra,), "gable", vary(rng, (172, 170, 166), 24), 3.5))
                elif luck > 0.9 and site.claim((extra,)):
                    site.pools.append(extra)
            u += lot


def _side_wing(rng: np.random.Generator, main: Rectangle) -> Rectangle:
    """Return a wing at a right angle to `main`, flush with one of its ends."""
    width = main.width * rng.uniform(0.55, 0.75)
    end = rng.choice((-1, 1)) * (1 - width / main.length)
    x, y = main.at(end, rng.choice((-1, 1)) * rng.uniform(0.7, 0.95))
    return Rectangle(x, y, main.width * rng.uniform(0.9, 1.15), width, main.angle + pi / 2)


def _build_trade(rng: np.random.Generator, site: _Site, frame: Frame, block: Block, street_width: float) -> None:
    """Put one or two flat halls in `block`, each with its car park."""
    inset = street_width / 2 + 8
    halls = int(rng.integers(1, 3))
    pitch = (block.u1 - block.u0 - 2 * inset) / (2 * halls)
    depth = block.v1 - block.v0 - 2 * inset
    for hall in range(halls):
        u, v = block.u0 + inset + pitch * (2 * hall + 0.5), (block.v0 + block.v1) / 2
        length, width = pitch * rng.uniform(0.7, 0.94), depth * rng.uniform(0.5, 0.92)
        shape = Rectangle(*frame.point(u, v), length, width, frame.heading(u))
        if site.claim((shape,)):
            colour = vary(rng, _HALL_ROOFS[rng.integers(len(_HALL_ROOFS))], 12)
            site.buildings.append(Building((shape,), "flat", colour, rng.uniform(8, 14)))
            beside = Rectangle(*frame.point(u + pitch, v), pitch * 0.9, depth * 0.92, frame.heading(u + pitch))
            if site.claim((beside,)):
                site.car_parks.append(beside)


def _plant(
    rng: np.random.Generator, site: _Site, frame: Frame, blocks: list[Block], street_width: float
) -> NDArray[np.float32]:
    """Return the trees: many in woods, clumps in parks and gardens, a few between fields."""
    density = {"homes": 0.9, "trade": 0.15, "park": 1.4, "field": 0.08, "woods": 7.0}
    trees = []
    for block in blocks:
        inset = street_width / 2 + 5
        area = (block.u1 - block.u0) * (block.v1 - block.v0)
        clumps = rng.poisson(area / 4000 * density[block.use])
        for u, v in zip(rng.uniform(block.u0, block.u1, clumps), rng.uniform(block.v0, block.v1, clumps), strict=True):
            for _ in range(rng.integers(1, 6)):
                du, dv = u + rng.normal(0, 11), v + rng.normal(0, 11)
                if block.u0 + inset < du < block.u1 - inset and block.v0 + inset < dv < block.v1 - inset:
                    x, y = frame.point(du, dv)
                    if site.is_free(x, y):
                        trees.append((x, y, rng.uniform(3, 8.5)))
    return np.array(trees, np.float32).reshape(-1, 3)
