"""Labelled buildings of image pairs, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.tasks.damage.data import UNCLASSIFIED, LabelledPair, Pair
from gateway.vision.buildings import SMALLEST_BUILDING, find_buildings

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels; x1 and y1 are exclusive."""


@dataclass(frozen=True)
class Town:
    """The image after a disaster, uint8 (H, W, 3) RGB, and boxes and grades (0 to 3) of its buildings."""

    post: Pixels
    boxes: tuple[Box, ...]
    grades: tuple[int, ...]


def read_town(pair: LabelledPair) -> Town:
    """Return a pair as its judged buildings: those of its JSON, or without one the regions of its label map.

    Buildings that touch and are of one class make one region.
    """
    polygons = list(_of_json(pair)) if isinstance(pair, Pair) else []
    found = polygons or list(footprints(pair.read_labels()))
    return Town(pair.read_post(), tuple(box for box, _ in found), tuple(value - 1 for _, value in found))


def footprints(labels: Pixels) -> Iterator[tuple[Box, int]]:
    """Yield box and value (1 to 4) of every judged building of a label map (H, W)."""
    for value in (1, 2, 3, 4):
        for x0, y0, x1, y1 in find_buildings((labels == value).astype(np.uint8)).boxes.tolist():
            yield (x0, y0, x1, y1), value


def _of_json(pair: Pair) -> Iterator[tuple[Box, int]]:
    height, width = pair.read_labels().shape
    for building in pair.read_buildings() or ():
        outline = np.concatenate([rings[0] for rings in building.polygons])
        (x0, y0), (x1, y1) = outline.min(axis=0).clip(0), outline.max(axis=0).clip(0, (width, height))
        if building.value != UNCLASSIFIED and (x1 - x0) * (y1 - y0) >= SMALLEST_BUILDING:
            yield (x0, y0, x1, y1), building.value
