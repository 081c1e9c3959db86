"""Pictures drawn by code: photographs of things on a ground, one of them marked, and waste on a belt."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from math import cos, pi, sin, tau
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Thing:
    """A photograph and the object in it.

    Attributes:
        pixels: uint8 (height, width, 3), RGB.
        mask: bool (height, width), where the object is.
    """

    pixels: UInt8
    mask: NDArray[np.bool_]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The object's corners x0, y0, x1, y1."""
        rows, columns = np.nonzero(self.mask)
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1

    @property
    def centre(self) -> tuple[int, int]:
        """A point (x, y) of the object, about its middle."""
        rows, columns = np.nonzero(self.mask)
        return nearest(rows, columns)


def nearest(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[int, int]:
    """Return the one (x, y) of some pixels that is nearest to the middle of all."""
    at = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return int(columns[at]), int(rows[at])


def draw_thing(seed: int, width: int, height: int) -> Thing:
    """Return a bright thing of rounded outline on a dark, uneven ground."""
    rng = np.random.default_rng((seed, width, height))
    picture, mask = _uneven(rng, width, height, 16, (20, 90)), Image.new("L", (width, height))
    x, y = width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6)
    ImageDraw.Draw(mask).polygon(_outline(rng, x, y, min(width, height) * rng.uniform(0.2, 0.3)), fill=255)
    picture.paste(_uneven(rng, width, height, 8, (170, 250)), mask=mask)
    return Thing(np.asarray(picture), np.asarray(mask) > 0)


def draw_waste(seed: int, width: int, height: int) -> UInt8:
    """Return a belt with bags and boxes on it, uint8 (height, width, 3), RGB."""
    rng = np.random.default_rng((seed, width, height))
    picture = _uneven(rng, width, height, 24, (60, 110))
    draw = ImageDraw.Draw(picture)
    for _ in range(24):
        colour = tuple(int(channel) for channel in rng.integers(30, 256, 3))
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), min(width, height) * rng.uniform(0.04, 0.15)
        draw.polygon(_outline(rng, x, y, size), fill=colour, outline=(20, 20, 20))
    return np.asarray(picture)


def encoded(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    """Return pixels as an image file, "PNG" or "JPEG"; a PNG is packed as fast as can be."""
    target = BytesIO()
    Image.fromarray(pixels).save(target, kind, **({"compress_level": 1} if kind == "PNG" else {}), **options)
    return target.getvalue()


def _uneven(rng: np.random.Generator, width: int, height: int, cell: int, tones: tuple[int, int]) -> Image.Image:
    """Return smooth colours between two tones that change about every `cell` pixels."""
    coarse = rng.integers(*tones, (height // cell + 2, width // cell + 2, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def _outline(rng: np.random.Generator, x: float, y: float, size: float) -> list[tuple[float, float]]:
    """Return a closed line about (x, y), `size` pixels from it, more here and less there."""
    turns = [tau * n / 24 for n in range(24)]
    first, second = rng.uniform(0, 2 * pi, 2)
    reach = [size * (1 + 0.12 * sin(2 * turn + first) + 0.08 * sin(3 * turn + second)) for turn in turns]
    return [(x + r * cos(turn), y + r * sin(turn)) for r, turn in zip(reach, turns, strict=True)]
