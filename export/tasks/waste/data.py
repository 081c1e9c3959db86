"""Labelled photographs of waste, in the layouts that are around."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.errors import DataError
from export.tasks.waste.coco import read_coco
from export.tasks.waste.spec import LABEL_SETS
from export.training.data import existing, read_grey, read_rgb, read_table

Box = tuple[int, int, int, int]

_SPLITS = ("train", "val", "test")
_PICTURES = (".jpg", ".jpeg", ".png", ".PNG", ".JPG")


class Labels(Protocol):
    """Where a label map comes from."""

    def read(self) -> NDArray[np.uint8]:
        """Return it, uint8 (H, W)."""


@dataclass(frozen=True)
class MaskFile:
    """A grey picture whose values are labels."""

    path: Path

    def read(self) -> NDArray[np.uint8]:
        """Return the label map, uint8 (H, W).

        Raises:
            DataError: the file is no picture.
        """
        return read_grey(self.path)


@dataclass(frozen=True)
class LabelledPhoto:
    """A photograph and its label map. Reading is lazy.

    Attributes:
        name: of the photograph.
        split: train, val or test.
        image: its file.
        labels: its labels.
        content: x0, y0, x1, y1 (exclusive) of what is photograph; bars around it, made to fill a square, are cut off.
    """

    name: str
    split: str
    image: Path
    labels: Labels
    content: Box | None = None

    def read_image(self) -> NDArray[np.uint8]:
        """Return the photograph, uint8 (H, W, 3) RGB.

        Raises:
            DataError: the file is no picture.
        """
        return self._cut(read_rgb(self.image))

    def read_labels(self) -> NDArray[np.uint8]:
        """Return the label map, uint8 (H, W).

        Raises:
            DataError: it cannot be read.
        """
        return self._cut(self.labels.read())

    def _cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.content is None:
            return picture
        x0, y0, x1, y1 = self.content
        return picture[y0:y1, x0:x1]


@dataclass(frozen=True)
class Photos:
    """A data set: its photographs by name, and the name of its label set in the catalogue."""

    photos: tuple[LabelledPhoto, ...]
    label_set: str

    def of(self, split: str) -> list[LabelledPhoto]:
        """Return those of a split.

        Raises:
            DataError: there are none.
        """
        found = [photo for photo in self.photos if photo.split == split]
        if not found:
            raise DataError(f"there is no photograph in the split {split!r}")
        return found


def read_photos(root: Path) -> Photos:
    """Return every labelled photograph of a folder.

    Three layouts are understood: a `manifest.csv` (columns id, split and optionally content_x0, content_y0,
    content_x1, content_y1) with `images/` and `masks/`; ZeroWaste's `<split>/data/` with `<split>/sem_seg/` or
    `<split>/labels.json`; COCO's `annotations/instances_<split>*.json` with a folder of photographs per file.

    Raises:
        DataError: the folder has none of them, lacks a file, or has categories that no label set has.
    """
    if (root / "manifest.csv").is_file():
        found, label_set = list(_of_manifest(root)), "bags"
    elif any((root / split / "data").is_dir() for split in _SPLITS):
        found, label_set = list(_of_zerowaste(root)), "zerowaste"
    elif (root / "annotations").is_dir():
        found, label_set = _of_coco(root)
    else:
        raise DataError(f"{root} holds neither manifest.csv nor <split>/data/ nor annotations/")
    if not found:
        raise DataError(f"no labelled photograph in {root}")
    return Photos(tuple(sorted(found, key=lambda photo: photo.name)), label_set)


def _of_manifest(root: Path) -> Iterator[LabelledPhoto]:
    for row in read_table(root / "manifest.csv", "id", "split"):
        mask = MaskFile(existing(root / "masks" / f"{row['id']}.png"))
        yield LabelledPhoto(row["id"], row["split"], _picture(root / "images", row["id"]), mask, _box(row))


def _box(row: dict[str, str]) -> Box | None:
    keys = [f"content_{corner}" for corner in ("x0", "y0", "x1", "y1")]
    if not all(row.get(key) for key in keys):
        return None
    try:
        x0, y0, x1, y1 = (int(row[key]) for key in keys)
    except ValueError as error:
        raise DataError(f"manifest.csv has no box of whole numbers for {row['id']}") from error
    return x0, y0, x1, y1


def _of_zerowaste(root: Path) -> Iterator[LabelledPhoto]:
    """Yield ZeroWaste's photographs; label maps are taken where they lie, else drawn from the instances."""
    for split in _SPLITS:
        folder = root / split
        if not folder.is_dir():
            continue
        masks = folder / "sem_seg"
        instances = None if masks.is_dir() else read_coco(folder / "labels.json")
        if instances and _label_set(instances.names) != "zerowaste":
            raise DataError(f"the categories of {folder / 'labels.json'} are not ZeroWaste's")
        for image in sorted((folder / "data").iterdir()):
            if image.suffix not in _PICTURES:
                continue
            if instances is None:
                yield LabelledPhoto(image.stem, split, image, MaskFile(existing(masks / image.name)))
            elif image.name in instances.photos:
                yield LabelledPhoto(image.stem, split, image, instances.photos[image.name])


def _of_coco(root: Path) -> tuple[list[LabelledPhoto], str]:
    found: list[LabelledPhoto] = []
    label_sets = set()
    for file in sorted((root / "annotations").glob("instances_*.json")):
        named = file.stem.removeprefix("instances_")
        split = next((each for each in _SPLITS if named.startswith(each)), named)
        instances = read_coco(file)
        label_sets.add(_label_set(instances.names))
        folder = next((each for each in (root / named, root / "images" / named) if each.is_dir()), None)
        if folder is None:
            raise DataError(f"{root} has no folder of photographs for {file.name}")
        for name, drawn in instances.photos.items():
            found.append(LabelledPhoto(Path(name).stem, split, existing(folder / name), drawn))
    if len(label_sets) != 1:
        raise DataError(f"{root} has {len(label_sets)} lists of categories where one is wanted")
    return found, label_sets.pop()


def _label_set(names: tuple[str, ...]) -> str:
    """Return the label set that has these categories beside the background."""
    for label_set, classes in LABEL_SETS.items():
        if tuple(each.name for each in classes[1:]) == names:
            return label_set
    raise DataError(f"no label set has the categories {', '.join(names)}; known: {', '.join(LABEL_SETS)}")


def _picture(folder: Path, name: str) -> Path:
    found = next((path for suffix in _PICTURES if (path := folder / f"{name}{suffix}").is_file()), None)
    if found is None:
        raise DataError(f"{folder} lacks the picture of {name}")
    return found
