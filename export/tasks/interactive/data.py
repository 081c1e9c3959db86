"""Labelled objects: a photograph and the mask of one object in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import DataError
from export.training.data import existing, read_grey, read_rgb, read_table

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

VOID = 128
"""Mask value of pixels that count neither as object nor as background."""

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class LabelledObject:
    """One image and one mask file; `source` names the collection it is from, as far as the manifest says."""

    name: str
    split: str
    source: str
    image: Path
    mask: Path

    def read_image(self) -> Pixels:
        """Return uint8 (H, W, 3), RGB.

        Raises:
            DataError: the file is no picture.
        """
        return read_rgb(self.image, upright=False)

    def read_labels(self) -> Pixels:
        """Return uint8 (H, W): 0 background, `VOID` neither, everything else the object.

        Raises:
            DataError: the file is no picture.
        """
        return read_grey(self.mask)


def read_objects(folder: Path) -> list[LabelledObject]:
    """Return the objects of a folder, sorted by name.

    Either `manifest.csv` names them (columns id, split, image, mask; others are not read), or `images/` and `masks/`
    hold files of equal stem, which are then all of the split "val".

    Raises:
        DataError: there is neither, the manifest lacks a column, or a file it names is not there.
    """
    manifest = folder / "manifest.csv"
    objects = _listed(manifest) if manifest.is_file() else _paired(folder)
    if not objects:
        raise DataError(f"{folder} holds no images/ with masks/ of the same names")
    for each in objects:
        for path in (each.image, each.mask):
            existing(path)
    return sorted(objects, key=lambda each: each.name)


def _listed(manifest: Path) -> list[LabelledObject]:
    folder = manifest.parent
    return [
        LabelledObject(row["id"], row["split"], row.get("dataset") or "", folder / row["image"], folder / row["mask"])
        for row in read_table(manifest, "id", "split", "image", "mask")
    ]


def _paired(folder: Path) -> list[LabelledObject]:
    masks = {path.stem: path for path in (folder / "masks").glob("*.png")}
    images = (path for path in (folder / "images").glob("*") if path.suffix.lower() in _PICTURES)
    return [LabelledObject(image.stem, "val", "", image, masks[image.stem]) for image in images if image.stem in masks]
