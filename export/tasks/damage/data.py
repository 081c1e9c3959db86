"""Reader of xBD: image pairs before and after a disaster, with a building-damage label map.

Two layouts are understood: the published one (``images/`` and ``labels/*.json``, alone or inside ``train``, ``tier3``,
``test`` and ``hold`` folders) and one with rasterised ``masks/`` and a ``manifest.csv`` that names the splits.
Source: Gupta et al., "xBD: A Dataset for Assessing Building Damage from Satellite Imagery", 2019.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from export.errors import DataError
from export.synthetic.towns import DrawnPair
from export.training.data import existing, read_grey, read_rgb, read_table

UNCLASSIFIED = 255
"""Label of a building whose damage could not be judged."""

SUBTYPES = {"no-damage": 1, "minor-damage": 2, "major-damage": 3, "destroyed": 4, "un-classified": UNCLASSIFIED}
"""Label of each ``subtype`` of the JSON; a building without one (labels before the disaster) is undamaged."""

_FIRST_SCENE = 1000
"""Scenes before this one are left to examples and tests; the last ones validate where there are no photographs."""

_VALIDATION_SCENES = 4

_SPLITS = {"train": "train", "tier3": "train", "test": "val", "hold": "hold"}
_VALIDATION_EVERY = 7
_SPACE = re.compile(r"\s*([(),]|^|$)\s*")
_BETWEEN_POLYGONS = re.compile(r"(?<=\)\)),")
_RING = re.compile(r"\(([^()]+)\)")


class LabelledPair(Protocol):
    """Two images of one place and a label map, of equal size."""

    def read_pre(self) -> NDArray[np.uint8]:
        """Return the image before the disaster, (H, W, 3) RGB."""

    def read_post(self) -> NDArray[np.uint8]:
        """Return the image after the disaster, (H, W, 3) RGB."""

    def read_labels(self) -> NDArray[np.uint8]:
        """Return the label map (H, W): 0 background, 1 to 4 damage, 255 un-classified building."""


@dataclass(frozen=True)
class Building:
    """One building of a JSON: its label value and its polygons; see `parse_wkt`."""

    value: int
    polygons: list[list[NDArray[np.float64]]]


@dataclass(frozen=True)
class Pair:
    """One tile: where its images and labels lie, and xBD's JSON after the disaster if it is there. Reading is lazy."""

    name: str
    event: str
    split: str
    pre: Path
    post: Path
    labels: Path
    polygons: Path | None = None

    def read_pre(self) -> NDArray[np.uint8]:
        """Return the image before the disaster, (H, W, 3) RGB."""
        return read_rgb(self.pre)

    def read_post(self) -> NDArray[np.uint8]:
        """Return the image after the disaster, (H, W, 3) RGB."""
        return read_rgb(self.post)

    def read_labels(self) -> NDArray[np.uint8]:
        """Return the label map (H, W): 0 background, 1 to 4 damage, 255 un-classified building."""
        if self.labels.suffix == ".json":
            return rasterise(json.loads(self.labels.read_text(encoding="utf-8")))
        return read_grey(self.labels)

    def read_buildings(self) -> list[Building] | None:
        """Return the buildings of the JSON; None without one."""
        if self.polygons is None:
            return None
        return list(buildings(json.loads(self.polygons.read_text(encoding="utf-8"))))


def read_pairs(root: Path) -> list[Pair]:
    """Return every pair below ``root``, ordered by name.

    Raises:
        DataError: there is no pair, or a pair lacks a file.
    """
    if (root / "manifest.csv").is_file():
        pairs = list(_pairs_of_manifest(root))
    elif (root / "images").is_dir():
        pairs = list(_pairs_of_folder(root, None))
    else:
        pairs = [pair for folder, split in _SPLITS.items() for pair in _pairs_of_folder(root / folder, split)]
    if not pairs:
        raise DataError(f"no image pair in {root}")
    for pair in pairs:
        for path in (pair.pre, pair.post, pair.labels):
            existing(path)
    return sorted(pairs, key=lambda pair: pair.name)


def training_and_validation(
    data: Path | None, scenes: int
) -> tuple[list[Pair], list[DrawnPair], Sequence[LabelledPair]]:
    """Return the pairs to learn from, so many drawn scenes, and what validates: pairs, or where there are none, scenes.

    Raises:
        DataError: ``data`` cannot be read.
    """
    pairs = [] if data is None else read_pairs(data)
    drawn = [DrawnPair(_FIRST_SCENE + index) for index in range(scenes + _VALIDATION_SCENES)]
    validation = [pair for pair in pairs if pair.split == "val"]
    return [pair for pair in pairs if pair.split == "train"], drawn[:scenes], validation or drawn[scenes:]


def words_of(training: Sequence[Pair], scenes: int) -> str:
    """Return in words what a network was learnt from: pairs, how many of each event, and drawn scenes."""
    events = ", ".join(f"{count} {event}" for event, count in Counter(pair.event for pair in training).most_common())
    parts = [f"{len(training)} xBD pairs ({events})"] * bool(training) + [f"{scenes} drawn scenes"] * bool(scenes)
    return " and ".join(parts)


def rasterise(document: dict[str, object]) -> NDArray[np.uint8]:
    """Return the label map of a parsed xBD JSON: vertices rounded, holes honoured, later polygons on top.

    Raises:
        DataError: the document is no xBD label, or names an unknown subtype.
    """
    try:
        metadata = document["metadata"]
        labels = np.zeros((metadata["height"], metadata["width"]), np.uint8)  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise DataError(f"not an xBD label: {error!r}") from error
    for building in buildings(document):
        for rings in building.polygons:
            _fill(labels, rings, building.value)
    return labels


def buildings(document: dict[str, object]) -> Iterator[Building]:
    """Yield the buildings of a parsed xBD JSON in its order.

    Raises:
        DataError: the document is no xBD label, or names an unknown subtype.
    """
    try:
        for feature in document["features"]["xy"]:  # type: ignore[index]
            value = SUBTYPES[feature["properties"].get("subtype", "no-damage")]
            yield Building(value, parse_wkt(feature["wkt"]))
    except (KeyError, TypeError) as error:
        raise DataError(f"not an xBD label: {error!r}") from error


def parse_wkt(text: str) -> list[list[NDArray[np.float64]]]:
    """Return the polygons of a POLYGON or MULTIPOLYGON: per polygon its outer ring, then its holes.

    A ring is an array (vertices, 2) of (x, y) in pixels.

    Raises:
        DataError: the text is neither.
    """
    kind, _, body = _SPACE.sub(r"\1", text).partition("(")
    if kind.upper() not in ("POLYGON", "MULTIPOLYGON"):
        raise DataError(f"unsupported geometry {text[:40]!r}")
    try:
        return [
            [
                np.array([vertex.split()[:2] for vertex in ring.split(",")], np.float64)
                for ring in _RING.findall(polygon)
            ]
            for polygon in _BETWEEN_POLYGONS.split(body)
        ]
    except ValueError as error:
        raise DataError(f"malformed geometry {text[:40]!r}") from error


def _fill(labels: NDArray[np.uint8], rings: list[NDArray[np.float64]], value: int) -> None:
    shape = np.zeros_like(labels)
    # Drawn one by one: a single even-odd call would leave out the boundary that hole and outline share.
    for index, ring in enumerate(rings):
        cv2.fillPoly(shape, [np.rint(ring).astype(np.int32)], color=0 if index else 1)
    labels[shape == 1] = value


def _pairs_of_manifest(root: Path) -> Iterator[Pair]:
    for row in read_table(root / "manifest.csv", "tile", "event", "split", "image_format"):
        tile, suffix = row["tile"], row["image_format"]
        polygons = root / "labels_xbd_json" / f"{tile}_post_disaster.json"
        yield Pair(
            tile,
            row["event"],
            row["split"],
            root / "images" / f"{tile}_pre_disaster.{suffix}",
            root / "images" / f"{tile}_post_disaster.{suffix}",
            root / "masks" / f"{tile}_post_disaster.png",
            polygons if polygons.is_file() else None,
        )


def _pairs_of_folder(folder: Path, split: str | None) -> Iterator[Pair]:
    """Yield the pairs of one ``images/`` and ``labels/``; without a split, every seventh tile validates."""
    for index, pre in enumerate(sorted((folder / "images").glob("*_pre_disaster.*"))):
        tile = pre.stem.removesuffix("_pre_disaster")
        yield Pair(
            tile,
            tile.rpartition("_")[0],
            split or ("val" if index % _VALIDATION_EVERY == 0 else "train"),
            pre,
            pre.with_name(f"{tile}_post_disaster{pre.suffix}"),
            polygons := folder / "labels" / f"{tile}_post_disaster.json",
            polygons,
        )
