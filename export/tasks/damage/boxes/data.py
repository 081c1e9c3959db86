"""Labelled buildings of image pairs as boxes, and as maps of numbers that crops of any turn give boxes of."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from export.tasks.damage.data import UNCLASSIFIED, LabelledPair, Pair
from export.tasks.damage.samples import Tile, load_tile
from gateway.vision.buildings import find_buildings

_SMALLEST = 2.0
"""Boxes with a shorter side are left out, in pixels."""


@dataclass(frozen=True)
class Truth:
    """The buildings of a pair: boxes, float64 (n, 4), x0, y0, x1, y1, and values, uint8 (n,), 1 to 4 or 255."""

    boxes: NDArray[np.float64]
    values: NDArray[np.uint8]


@dataclass(frozen=True)
class NumberedTile(Tile):
    """A tile with its buildings told apart.

    Attributes:
        numbers: uint16 (H, W), 0 where there is none.
        values: uint8, by number, the building's label value.
    """

    numbers: NDArray[np.uint16]
    values: NDArray[np.uint8]


def read_truth(pair: LabelledPair) -> Truth:
    """Return the buildings of a pair: bounds of its JSON's polygons within the image, or of its map's regions."""
    shape = pair.read_labels().shape
    boxes, values = [], []
    for building in (pair.read_buildings() or ()) if isinstance(pair, Pair) else ():
        outline = np.concatenate([rings[0] for rings in building.polygons])
        boxes.append([*outline.min(axis=0), *outline.max(axis=0)])
        values.append(building.value)
    if not boxes:
        numbers, known = _of_map(pair.read_labels())
        return boxes_of(numbers, known)
    clipped = np.array(boxes).clip(0, np.array([*shape[::-1]] * 2))
    return _large_enough(clipped, np.array(values, np.uint8))


def read_numbered(pair: LabelledPair) -> NumberedTile:
    """Return a pair at full size as a tile of numbered buildings."""
    tile = load_tile(pair, 1)
    numbers, values = _of_json(pair) if isinstance(pair, Pair) and pair.polygons else _of_map(pair.read_labels())
    scale = len(tile.labels) // len(numbers)
    numbers = numbers.repeat(scale, axis=0).repeat(scale, axis=1)
    return NumberedTile(tile.pre, tile.post, tile.labels, tile.buildings, numbers, values)


def boxes_of(numbers: NDArray[np.uint16], values: NDArray[np.uint8]) -> Truth:
    """Return the bounds of each number of a map that is there; see `NumberedTile`."""
    rows, columns = np.nonzero(numbers)
    there = numbers[rows, columns]
    boxes = np.tile(np.array([np.inf, np.inf, 0, 0]), (len(values), 1))
    for axis, places in ((0, columns), (1, rows)):
        np.minimum.at(boxes[:, axis], there, places)
        np.maximum.at(boxes[:, 2 + axis], there, places + 1)
    shown = np.unique(there)
    return _large_enough(boxes[shown], values[shown])


def _large_enough(boxes: NDArray[np.float64], values: NDArray[np.uint8]) -> Truth:
    kept = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= _SMALLEST
    return Truth(boxes[kept], values[kept])


def _of_json(pair: Pair) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    numbers, values = np.zeros(pair.read_labels().shape, np.uint16), [0]
    for building in pair.read_buildings() or ():
        outlines = [np.rint(rings[0]).astype(np.int32) for rings in building.polygons]
        cv2.fillPoly(numbers, outlines, len(values))
        values.append(building.value)
    return numbers, np.array(values, np.uint8)


def _of_map(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return the regions of each value as buildings: those that touch and are of one value are one."""
    numbers, values = np.zeros(labels.shape, np.uint16), [0]
    for value in (1, 2, 3, 4, UNCLASSIFIED):
        found = find_buildings((labels == value).astype(np.uint8))
        filled = np.zeros(int(found.components.max()) + 1, np.uint16)
        filled[found.numbers] = len(values) + np.arange(len(found.numbers))
        numbers += filled[found.components]
        values += [value] * len(found.numbers)
    return numbers, np.array(values, np.uint8)
