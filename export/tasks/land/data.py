"""Images of the ground, each labelled for what its source knows of it.

No source but drawn scenes knows all classes. A pixel's label is the set of classes that it may be, a bit for each: one
bit where the class is known, all but one for "anything but that".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from maskgate_client.scenes import draw_cover, draw_scene
from numpy.typing import NDArray

from export.tasks.land.spec import LAND_CLASSES
from export.training.data import existing, read_folders, read_grey, read_rgb, read_table

UInt8 = NDArray[np.uint8]

BUILDING, ROAD, TREE = 1, 2, 3
UNKNOWN = (1 << len(LAND_CLASSES)) - 1
"""The label of a pixel that may be anything."""

_FIRST_SCENE, _FIRST_VALIDATION_SCENE = 1000, 5000
"""Scenes before the first are left to examples and tests."""

VALIDATION_SCENES = 4
_VALIDATION_EVERY = 5
_SCENE_METRES, _ROAD_METRES, _PLOT_METRES, _XBD_METRES = 0.5, 1.0, 0.1, 0.5
_XBD_SIDE = 1024

# Of a box, the axes of the ellipse that is sure to be crown, and how far around it nothing is known.
_CROWN, _AROUND = 0.8, 1.15
# Closed forest, in whose plots only some of the crowns have boxes.
_CLOSED = ("HARV",)
# Without imagery the Massachusetts tiles are white; a roof is not as large.
_WHITE, _LARGE = 250, 15
# Metres from a road beyond which no house is looked for: woods, fields and water lie there.
_REMOTE = 100


def only(value: int) -> int:
    """Return the label of a pixel that is of a class."""
    return 1 << value


def but(*values: int) -> int:
    """Return the label of a pixel that is of none of some classes."""
    return UNKNOWN & ~sum(map(only, values))


BLANK = only(0)
"""The label of a pixel without imagery, open ground: a map that named something else there would have made it up."""


@dataclass(frozen=True)
class Ground:
    """A labelled image. Reading is lazy.

    Attributes:
        name: of the image.
        split: train or val.
        source: roads, trees, buildings or drawn.
        metres: of a pixel.
        read_image: returns it, uint8 (H, W, 3) RGB.
        read_labels: returns its labels, uint8 (H, W), as above.
    """

    name: str
    split: str
    source: str
    metres: float
    read_image: Callable[[], UInt8]
    read_labels: Callable[[], UInt8]


def read_grounds(root: Path) -> list[Ground]:
    """Return the labelled images of a folder that holds one or more of these.

    ``roads_massachusetts`` has a ``manifest.csv`` (id, image, mask), ``trees_neon`` one (id, site, image) and a
    ``boxes.csv`` (id, x0, y0, x1, y1), ``building_damage`` is xBD with masks as `export.tasks.damage` reads it. Of the
    first two every fifth image by name validates.

    Raises:
        DataError: it holds none, or lacks a file.
    """
    readers: Mapping[str, Callable[[Path], Iterator[Ground]]] = {
        "roads_massachusetts": _roads,
        "trees_neon": _trees,
        "building_damage": _buildings,
    }
    return read_folders(root, readers)


def drawn(count: int) -> list[Ground]:
    """Return so many drawn scenes to learn from, and those that validate."""
    numbers = [(_FIRST_SCENE + index, "train") for index in range(count)]
    numbers += [(_FIRST_VALIDATION_SCENE + index, "val") for index in range(VALIDATION_SCENES)]
    return [Ground(f"scene-{number}", split, "drawn", _SCENE_METRES, *_drawing(number)) for number, split in numbers]


def _drawing(number: int) -> tuple[Callable[[], UInt8], Callable[[], UInt8]]:
    return lambda: draw_scene(number).pre, lambda: np.left_shift(np.uint8(1), draw_cover(number))


def _roads(folder: Path) -> Iterator[Ground]:
    rows = sorted(read_table(folder / "manifest.csv", "id", "image", "mask"), key=lambda row: row["id"])
    for index, row in enumerate(rows):
        image, mask = existing(folder / row["image"]), existing(folder / row["mask"])
        yield Ground(row["id"], _split(index), "roads", _ROAD_METRES, *_road(image, mask))


def _road(image: Path, mask: Path) -> tuple[Callable[[], UInt8], Callable[[], UInt8]]:
    def labels() -> UInt8:
        elsewhere = (read_grey(mask) == 0).astype(np.uint8)
        found = np.where(elsewhere, np.uint8(but(ROAD)), np.uint8(only(ROAD)))
        found[cv2.distanceTransform(elsewhere, cv2.DIST_L2, 5) > _REMOTE] = but(ROAD, BUILDING)
        blank = (read_rgb(image).min(axis=-1) >= _WHITE).astype(np.uint8)
        found[cv2.morphologyEx(blank, cv2.MORPH_OPEN, np.ones((_LARGE, _LARGE), np.uint8)) > 0] = BLANK
        return found

    return lambda: read_rgb(image), labels


def _trees(folder: Path) -> Iterator[Ground]:
    boxes: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for row in read_table(folder / "boxes.csv", "id", "x0", "y0", "x1", "y1"):
        boxes[row["id"]].append(tuple(int(row[key]) for key in ("x0", "y0", "x1", "y1")))
    rows = sorted(read_table(folder / "manifest.csv", "id", "site", "image"), key=lambda row: row["id"])
    for index, row in enumerate(rows):
        image = existing(folder / row["image"])
        read = _crowns(image, boxes[row["id"]], closed=row["site"] in _CLOSED)
        yield Ground(row["id"], _split(index), "trees", _PLOT_METRES, *read)


def _crowns(
    image: Path, boxes: list[tuple[int, ...]], *, closed: bool
) -> tuple[Callable[[], UInt8], Callable[[], UInt8]]:
    def labels() -> UInt8:
        # Nothing is built in NEON's forests.
        wild = but(BUILDING, ROAD)
        found = np.full(read_rgb(image).shape[:2], wild if closed else wild & but(TREE), np.uint8)
        for share, value in ((_AROUND, wild), (_CROWN, only(TREE))):
            for x0, y0, x1, y1 in boxes:
                middle = (round((x0 + x1) / 2), round((y0 + y1) / 2))
                axes = (max(1, round(share * (x1 - x0) / 2)), max(1, round(share * (y1 - y0) / 2)))
                cv2.ellipse(found, middle, axes, 0, 0, 360, value, cv2.FILLED)
        return found

    return lambda: read_rgb(image), labels


def _buildings(folder: Path) -> Iterator[Ground]:
    for row in read_table(folder / "manifest.csv", "tile", "split", "image_format"):
        image = existing(folder / "images" / f"{row['tile']}_pre_disaster.{row['image_format']}")
        mask = existing(folder / "masks" / f"{row['tile']}_pre_disaster.png")
        # Tiles of half xBD's side were halved by those who passed them on.
        halved = 2 * max(read_grey(mask).shape) == _XBD_SIDE
        yield Ground(row["tile"], row["split"], "buildings", _XBD_METRES * (1 + halved), *_footprints(image, mask))


def _footprints(image: Path, mask: Path) -> tuple[Callable[[], UInt8], Callable[[], UInt8]]:
    def labels() -> UInt8:
        return np.where(read_grey(mask) > 0, np.uint8(only(BUILDING)), np.uint8(but(BUILDING)))

    return lambda: read_rgb(image), labels


def _split(index: int) -> str:
    return "val" if index % _VALIDATION_EVERY == _VALIDATION_EVERY - 1 else "train"
