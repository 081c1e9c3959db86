"""Images of the ground with and without clouds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
from maskgate_client.scenes import draw_scene
from numpy.typing import NDArray

from export.tasks.restore.clouds import KINDS, Clouded, Kind, cover_between, drawn_over
from export.training.data import existing, read_folders, read_rgb, read_table

UInt8 = NDArray[np.uint8]

_FIRST_SCENE, _FIRST_VALIDATION_SCENE = 1000, 5000
"""Scenes before the first are left to examples and tests."""

VALIDATION_SCENES = 4
_VALIDATION_EVERY = 5
_LONGEST = 512
"""Pixels of the longer side of what clouds are drawn over: larger photographs are reduced."""


@dataclass(frozen=True)
class Ground:
    """An image of the ground. Reading is lazy.

    Attributes:
        name: of the image.
        split: train or val.
        source: thin or thick, as its clouds are; or drawn, where it had none.
        read_clear: returns it without clouds, uint8 (H, W, 3) RGB.
        read_clouded: returns it under clouds, of the same size. Where they are drawn, they are always the same ones.
    """

    name: str
    split: str
    source: str
    read_clear: Callable[[], UInt8]
    read_clouded: Callable[[], Clouded]


def read_grounds(root: Path) -> list[Ground]:
    """Return the images of a folder that holds one or more of these.

    ``cloud_rice`` has a ``manifest.csv`` (id, cloudy, clear, cloud_type of thin or thick); of each type every fifth
    pair by name validates. ``building_damage`` is xBD as `export.tasks.damage` reads it, both images of a pair.

    Raises:
        DataError: it holds none, or lacks a file.
    """
    readers: Mapping[str, Callable[[Path], Iterator[Ground]]] = {"cloud_rice": _pairs, "building_damage": _photographs}
    return read_folders(root, readers)


def drawn(count: int) -> list[Ground]:
    """Return so many drawn scenes to learn from, and those that validate."""
    numbers = [(_FIRST_SCENE + index, "train") for index in range(count)]
    numbers += [(_FIRST_VALIDATION_SCENE + index, "val") for index in range(VALIDATION_SCENES)]
    kinds = cycle(KINDS)
    return [
        _under_drawn(f"scene-{number}", split, _scene(number), kind)
        for (number, split), kind in zip(numbers, kinds, strict=False)
    ]


def _scene(number: int) -> Callable[[], UInt8]:
    return lambda: draw_scene(number).pre


def _pairs(folder: Path) -> Iterator[Ground]:
    rows = sorted(read_table(folder / "manifest.csv", "id", "cloudy", "clear", "cloud_type"), key=lambda row: row["id"])
    for source in ("thin", "thick"):
        for index, row in enumerate(row for row in rows if row["cloud_type"] == source):
            cloudy, clear = existing(folder / row["cloudy"]), existing(folder / row["clear"])
            split = "val" if index % _VALIDATION_EVERY == _VALIDATION_EVERY - 1 else "train"
            yield Ground(row["id"], split, source, *_pair(cloudy, clear))


def _pair(cloudy: Path, clear: Path) -> tuple[Callable[[], UInt8], Callable[[], Clouded]]:
    def clouded() -> Clouded:
        seen = read_rgb(cloudy)
        return Clouded(seen, cover_between(seen, read_rgb(clear)))

    return lambda: read_rgb(clear), clouded


def _photographs(folder: Path) -> Iterator[Ground]:
    kinds = cycle(KINDS)
    for row in read_table(folder / "manifest.csv", "tile", "split", "image_format"):
        for date in ("pre", "post"):
            name = f"{row['tile']}_{date}_disaster"
            image = existing(folder / "images" / f"{name}.{row['image_format']}")
            yield _under_drawn(name, row["split"], _reduced(image), next(kinds))


def _reduced(image: Path) -> Callable[[], UInt8]:
    def read() -> UInt8:
        pixels = read_rgb(image)
        scale = _LONGEST / max(pixels.shape)
        if scale >= 1:
            return pixels
        return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

    return read


def _under_drawn(name: str, split: str, read: Callable[[], UInt8], kind: Kind) -> Ground:
    # What is drawn takes a second, and is asked for twice.
    kept = cache(read)
    # A name's digest and not its hash, which differs from process to process.
    rng = partial(np.random.default_rng, crc32(name.encode()))
    return Ground(name, split, "drawn", kept, lambda: drawn_over(rng(), kept(), kind))
