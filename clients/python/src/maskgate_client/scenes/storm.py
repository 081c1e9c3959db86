"""What the disaster did: a damage class for every building, and the marks of it on ground, trees and roofs."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from maskgate_client.scenes.shapes import Building, Plan, Rectangle
from maskgate_client.scenes.texture import RGB, Field, noise, tone

Kind = Literal["wind", "flood", "fire"]

UNHARMED, MINOR, MAJOR, DESTROYED = 1, 2, 3, 4

_TARP: RGB = (62, 108, 176)
_TIMBER: tuple[RGB, ...] = ((168, 138, 102), (146, 116, 84), (188, 164, 130), (124, 98, 74))
_DARK: tuple[RGB, ...] = ((52, 48, 46), (66, 60, 56), (40, 38, 38))
_RUBBLE: tuple[RGB, ...] = (*_TIMBER, (206, 202, 194), (150, 148, 144), (92, 86, 80), (226, 224, 220), (110, 120, 132))
_ASH: tuple[RGB, ...] = ((38, 36, 36), (58, 55, 53), (82, 79, 76), (172, 168, 162), (112, 86, 70))
_STAINS: dict[Kind, RGB] = {"wind": (142, 124, 98), "flood": (122, 104, 78), "fire": (46, 42, 38)}


@dataclass(frozen=True)
class Storm:
    """The disaster of one scene.

    Attributes:
        kind: what came over the town.
        damage: one class (1–4) per building of the plan.
        severity: float32 (size, size), how hard it came: below 0.4 hardly anything is harmed, from 1 on most is.
        stain: float32 (size, size) in [0, 1], how far mud, floodwater or soot covers the ground.
        felled: bool, one per tree of the plan.
    """

    kind: Kind
    damage: tuple[int, ...]
    severity: Field
    stain: Field
    felled: NDArray[np.bool_]

    @property
    def stain_colour(self) -> RGB:
        """What the ground is covered with."""
        return _STAINS[self.kind]


def calm(plan: Plan) -> Storm:
    """Return the storm that did nothing."""
    nothing = np.zeros((plan.size, plan.size), np.float32)
    return Storm("wind", (UNHARMED,) * len(plan.buildings), nothing, nothing, np.zeros(len(plan.trees), np.bool_))


def draw_storm(rng: np.random.Generator, plan: Plan) -> Storm:
    """Let a disaster come over `plan`: worst along a track, and in patches."""
    kind: Kind = rng.choice(("wind", "flood", "fire"), p=(0.62, 0.2, 0.18))
    angle, offset = rng.uniform(0, pi), rng.uniform(-0.25, 0.25) * plan.size
    y, x = np.mgrid[: plan.size, : plan.size].astype(np.float32) - plan.size / 2
    across = x * np.float32(cos(angle)) + y * np.float32(sin(angle)) - np.float32(offset)
    patches = noise(rng, plan.size, 350, 2)
    reach = plan.size * rng.uniform(0.2, 0.4)
    severity = rng.uniform(0.65, 1.0) * np.exp(-((across / reach) ** 2)) + 0.12 * patches
    if kind == "flood":
        stain = ((severity - 0.5) * 12).clip(0, 1) * np.float32(0.92)
        felled = np.zeros(len(plan.trees), np.bool_)
    else:
        stain = ((severity - 0.3) * 1.6).clip(0, 1) * np.float32(0.42 if kind == "wind" else 0.8)
        felled = _at(severity, plan.trees[:, 0], plan.trees[:, 1]) * rng.uniform(0.3, 0.9) > rng.random(len(plan.trees))
    return Storm(kind, tuple(_damage(rng, kind, severity, b) for b in plan.buildings), severity, stain, felled)


def _at(field: Field, x: NDArray[np.float32], y: NDArray[np.float32]) -> Field:
    """Return the values of `field` under the points."""
    return field[y.astype(np.intp), x.astype(np.intp)]


def _damage(rng: np.random.Generator, kind: Kind, severity: Field, building: Building) -> int:
    """Return the class of `building`: houses differ in how they stand the same wind."""
    main = building.wings[0]
    strain = float(severity[int(main.y), int(main.x)]) + rng.normal(0, 0.05 if kind == "flood" else 0.16)
    limits = {"wind": (0.44, 0.64, 0.84), "flood": (0.48, 0.54, 1.0), "fire": (0.52, 0.6, 0.7)}[kind]
    return UNHARMED + sum(strain >= limit for limit in limits)


def harm_roof(rng: np.random.Generator, draw: ImageDraw.ImageDraw, building: Building, damage: int, kind: Kind) -> None:
    """Draw what `damage` looks like on an intact roof; may spill over the eaves, where the caller cuts it off."""
    if damage == MINOR:
        _lose_shingles(rng, draw, building)
    elif damage == MAJOR and kind != "flood":
        for wing in building.wings:
            _open_roof(rng, draw, wing)
    elif damage == MAJOR:
        # Floodwater up to the walls is "major" by the Joint Damage Scale, though the roof shows little of it.
        _scatter(rng, draw, building.wings[0], 6, 0.9, _TIMBER)
    elif damage == DESTROYED:
        _level(rng, draw, building, kind)


def spread_debris(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, building: Building, damage: int, kind: Kind
) -> None:
    """Draw what lies on the ground around a harmed building."""
    main = building.wings[0]
    per_class = {UNHARMED: 0.0, MINOR: 0.01, MAJOR: 0.035, DESTROYED: 0.16}[damage]
    pieces = rng.poisson(per_class * min(main.length * main.width, 2500))
    _scatter(rng, draw, main, pieces, 1.3 if damage < DESTROYED else 1.6, _ASH if kind == "fire" else _RUBBLE)


def _lose_shingles(rng: np.random.Generator, draw: ImageDraw.ImageDraw, building: Building) -> None:
    """Draw a tarp, or patches of bare boards and underlay."""
    for wing in building.wings:
        if rng.random() < 0.35:
            _patch(rng, draw, wing, rng.uniform(0.3, 0.55), tone(_TARP, rng.uniform(0.85, 1.2)))
        else:
            for _ in range(rng.integers(2, 5 + int(wing.length // 30))):
                colour = _pick(rng, _TIMBER if rng.random() < 0.7 else _DARK)
                _patch(rng, draw, wing, rng.uniform(0.1, 0.26), colour)
        _scatter(rng, draw, wing, int(wing.length * wing.width * 0.012), 0.95, _TIMBER)


def _open_roof(rng: np.random.Generator, draw: ImageDraw.ImageDraw, wing: Rectangle) -> None:
    """Draw a roof half gone: a ragged hole to the dark inside, with rafters and fallen pieces."""
    left, right = sorted(rng.uniform(-1.1, 1.1, 2))
    if right - left < 0.9:
        left, right = (-1.1, right + 0.6) if rng.random() < 0.5 else (left - 0.6, 1.1)
    steps = np.linspace(left, right, 7)
    upper = [wing.at(t, rng.uniform(-1.1, -0.45)) for t in steps]
    lower = [wing.at(t, rng.uniform(0.25, 1.1)) for t in steps[::-1]]
    draw.polygon(upper + lower, fill=_pick(rng, _DARK))
    for t in np.arange(left, right, 4.5 / wing.length):
        if rng.random() < 0.75:
            draw.line((wing.at(t, -0.9), wing.at(t, rng.uniform(-0.2, 0.9))), fill=tone(_pick(rng, _TIMBER), 0.8))
    _scatter(rng, draw, wing, int(wing.length * wing.width * 0.05), 0.95, _RUBBLE)


def _level(rng: np.random.Generator, draw: ImageDraw.ImageDraw, building: Building, kind: Kind) -> None:
    """Draw what is left of a destroyed building: a slab or ash, under rubble."""
    pieces = _ASH if kind == "fire" else _RUBBLE
    slab = _pick(rng, _ASH[:3]) if kind == "fire" else tone((158, 148, 132), rng.uniform(0.7, 1.1))
    for wing in building.wings:
        draw.polygon(wing.corners(), fill=slab)
        for _ in range(rng.integers(3, 7)):
            _patch(rng, draw, wing, rng.uniform(0.2, 0.5), tone(_pick(rng, pieces), 0.85))
        _scatter(rng, draw, wing, int(wing.length * wing.width * rng.uniform(0.1, 0.3)), 1.0, pieces)
        if kind == "fire":
            draw.polygon(wing.corners(), outline=_pick(rng, _ASH[2:4]))


def _patch(rng: np.random.Generator, draw: ImageDraw.ImageDraw, wing: Rectangle, extent: float, colour: RGB) -> None:
    """Draw a ragged piece of about `extent` times the wing's sides somewhere on `wing`."""
    along, across = rng.uniform(-1 + extent, 1 - extent, 2)
    spread = extent * rng.uniform(0.7, 1.1, (4, 2))
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    corners = [wing.at(along + a * s, across + b * t) for (a, b), (s, t) in zip(signs, spread.tolist(), strict=True)]
    draw.polygon(corners, fill=colour)


def _scatter(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    wing: Rectangle,
    pieces: int,
    reach: float,
    colours: tuple[RGB, ...],
) -> None:
    """Draw `pieces` bits of one to four pixels over `reach` times the extent of `wing`, thinning outwards."""
    places = rng.uniform(-1, 1, (pieces, 2)) * reach * rng.uniform(0.55, 1, (pieces, 1))
    sides = rng.integers(0, 4, (pieces, 2))
    picks = rng.integers(len(colours), size=pieces)
    for (a, b), (w, h), pick in zip(places.tolist(), sides.tolist(), picks.tolist(), strict=True):
        x, y = wing.at(a, b)
        draw.rectangle((x, y, x + w, y + h * 0.5), fill=colours[pick])


def _pick(rng: np.random.Generator, colours: tuple[RGB, ...]) -> RGB:
    """Return one of `colours`."""
    return colours[rng.integers(len(colours))]


def footprints(plan: Plan, values: tuple[int, ...]) -> Image.Image:
    """Return an ``L`` image of the plan's size: each footprint filled with its building's value, 0 elsewhere."""
    picture = Image.new("L", (plan.size, plan.size))
    draw = ImageDraw.Draw(picture)
    for building, value in zip(plan.buildings, values, strict=True):
        for wing in building.wings:
            draw.polygon(wing.corners(), fill=value)
    return picture
