"""Roofs from above: faces lit by where they look, ridges, seams and what stands on them."""

from __future__ import annotations

from math import cos, pi

import numpy as np
from PIL import ImageDraw

from maskgate_client.scenes.shapes import Building, Polygon, Rectangle
from maskgate_client.scenes.texture import RGB, tone

_PITCH = 0.2
"""How much lighter a face towards the sun is, and how much darker one away from it."""


def paint_roof(rng: np.random.Generator, draw: ImageDraw.ImageDraw, building: Building, sunlit: float) -> None:
    """Draw `building` under a sun in the direction `sunlit` (radians); may spill over the eaves by a pixel."""
    # The main wing last: its ridge runs on over the joint.
    for wing in reversed(building.wings):
        if building.roof == "flat":
            _paint_flat(rng, draw, wing, building.colour)
        else:
            _paint_pitched(draw, wing, building.colour, sunlit, hip=wing.width / wing.length * (building.roof == "hip"))
    main = building.wings[0]
    for _ in range(rng.integers(0, 3)):
        x, y = main.at(*rng.uniform(-0.7, 0.7, 2))
        draw.rectangle((x, y, x + 1, y + 1), fill=tone(building.colour, rng.choice((0.6, 1.3))))


def _paint_pitched(draw: ImageDraw.ImageDraw, wing: Rectangle, colour: RGB, sunlit: float, *, hip: float) -> None:
    """Draw two faces along a ridge, and two more at its ends where `hip`, the share of each end, is not 0."""
    start, end = wing.at(-1 + hip, 0), wing.at(1 - hip, 0)
    a, b, c, d = wing.corners()
    faces: list[tuple[Polygon, float]] = [((a, b, end, start), -pi / 2), ((c, d, start, end), pi / 2)]
    if hip:
        faces += [((b, c, end), 0.0), ((d, a, start), pi)]
    for face, outward in faces:
        draw.polygon(face, fill=tone(colour, 1 + _PITCH * cos(wing.angle + outward - sunlit)))
    draw.line((start, end), fill=tone(colour, 1.25))


def _paint_flat(rng: np.random.Generator, draw: ImageDraw.ImageDraw, wing: Rectangle, colour: RGB) -> None:
    """Draw a membrane with seams between parapets, and air-conditioning units with their shadows."""
    draw.polygon(wing.corners(), fill=colour)
    for t in np.arange(-1, 1, rng.uniform(16, 30) / wing.length):
        draw.line((wing.at(t, -1), wing.at(t, 1)), fill=tone(colour, 0.94))
    draw.polygon(wing.corners(), outline=tone(colour, 0.78))
    for _ in range(int(wing.length * wing.width / 900)):
        x, y = wing.at(*rng.uniform(-0.85, 0.85, 2))
        side = rng.uniform(2, 5)
        draw.rectangle((x + 1.5, y + 1.5, x + side + 1.5, y + side + 1.5), fill=tone(colour, 0.6))
        draw.rectangle((x, y, x + side, y + side), fill=tone(colour, 1.12))
