"""The shapes a town consists of, in pixels: (x, y), origin top left."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, cos, pi, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskgate_client.scenes.texture import RGB

Point = tuple[float, float]
Polygon = tuple[Point, ...]
Use = Literal["homes", "trade", "park", "field", "woods"]


@dataclass(frozen=True)
class Rectangle:
    """A turned rectangle: centre and extent in pixels, `angle` of the long side in radians."""

    x: float
    y: float
    length: float
    width: float
    angle: float

    def at(self, along: float, across: float) -> Point:
        """Return the image point at (`along`, `across`), each from −1 to 1 between the rectangle's sides."""
        a, b = along * self.length / 2, across * self.width / 2
        c, s = cos(self.angle), sin(self.angle)
        return self.x + a * c - b * s, self.y + a * s + b * c

    def corners(self) -> Polygon:
        """Return the four corners in order."""
        return self.at(-1, -1), self.at(1, -1), self.at(1, 1), self.at(-1, 1)


@dataclass(frozen=True)
class Building:
    """A roof: one rectangle, or two for an L, the main wing first; `height` in pixels of ground."""

    wings: tuple[Rectangle, ...]
    roof: Literal["gable", "hip", "flat"]
    colour: RGB
    height: float


@dataclass(frozen=True)
class Block:
    """One cell of the street grid: its corners in the town's frame and what it is used for."""

    u0: float
    v0: float
    u1: float
    v1: float
    use: Use


@dataclass(frozen=True)
class Frame:
    """The map from the town's (u, v) to the image's (x, y)."""

    centre: float
    angle: float
    bend: float
    wavelength: float
    phase: float

    def point(self, u: float, v: float) -> Point:
        """Return the image point of (u, v)."""
        v += self.bend * sin(2 * pi * u / self.wavelength + self.phase)
        c, s = cos(self.angle), sin(self.angle)
        return self.centre + u * c - v * s, self.centre + u * s + v * c

    def heading(self, u: float) -> float:
        """Return the direction of the streets at `u`, in radians in the image."""
        slope = self.bend * 2 * pi / self.wavelength * cos(2 * pi * u / self.wavelength + self.phase)
        return self.angle + atan(slope)

    def path(self, u0: float, v0: float, u1: float, v1: float) -> Polygon:
        """Return a line from (u0, v0) to (u1, v1), bent like the streets."""
        return tuple(self.point(u0 + (u1 - u0) * t, v0 + (v1 - v0) * t) for t in np.linspace(0, 1, 13))

    def outline(self, block: Block, inset: float) -> Polygon:
        """Return the border of `block`, `inset` pixels inside its edges."""
        u0, v0, u1, v1 = block.u0 + inset, block.v0 + inset, block.u1 - inset, block.v1 - inset
        return self.path(u0, v0, u1, v0) + self.path(u1, v1, u0, v1)


@dataclass(frozen=True)
class Plan:
    """Everything that stands before the storm. Trees are float32 (n, 3): x, y, crown radius."""

    size: int
    frame: Frame
    blocks: tuple[Block, ...]
    buildings: tuple[Building, ...]
    drives: tuple[tuple[Point, Point], ...]
    car_parks: tuple[Rectangle, ...]
    pools: tuple[Rectangle, ...]
    trees: NDArray[np.float32]
    water: NDArray[np.bool_]
    street_width: float
    soil: RGB
    grass: RGB
    asphalt: RGB
