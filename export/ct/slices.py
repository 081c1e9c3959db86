"""Labelled CT slices that were stored as grey pictures through a window."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.training.xbd import DataError
from gateway.vision.windowing import Window, from_windowed

LABELS = 4
"""Label values: 0 background, 1 ground-glass, 2 consolidation, 3 pleural effusion."""

_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class LabelledSlice:
    """One picture of a slice and one label map."""

    name: str
    split: str
    image: Path
    mask: Path

    def read_units(self, window: Window) -> NDArray[np.int16]:
        """Return Hounsfield units, int16 (H, W), if the picture was stored through `window`.

        Raises:
            DataError: the file is no picture.
        """
        return from_windowed(_read(self.image), window)

    def read_labels(self) -> NDArray[np.uint8]:
        """Return the label map, uint8 (H, W).

        Raises:
            DataError: the file is no picture, or has a value that is no label.
        """
        labels = _read(self.mask)
        if labels.max(initial=0) >= LABELS:
            raise DataError(f"{self.mask} has the value {labels.max()}; labels are 0 to {LABELS - 1}")
        return labels


def read_slices(folder: Path) -> list[LabelledSlice]:
    """Return the slices of a folder, sorted by name.

    `manifest.csv` names them (columns id and split; others are not read); `images/` holds their pictures and
    `masks_multiclass/` their label maps, PNG.

    Raises:
        DataError: the manifest is missing or lacks a column, or a file is missing.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise DataError(f"{folder} holds no manifest.csv")
    with manifest.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if missing := {"id", "split"} - set(rows.fieldnames or ()):
            raise DataError(f"{manifest.name} lacks the columns {', '.join(sorted(missing))}")
        slices = [_slice(folder, row["id"], row["split"]) for row in rows]
    return sorted(slices, key=lambda each: each.name)


def _slice(folder: Path, name: str, split: str) -> LabelledSlice:
    candidates = [folder / "images" / f"{name}{suffix}" for suffix in _PICTURES]
    mask = folder / "masks_multiclass" / f"{name}.png"
    image = next((path for path in candidates if path.is_file()), None)
    if image is None or not mask.is_file():
        raise DataError(f"{folder} lacks the {'label map' if image else 'picture'} of {name}")
    return LabelledSlice(name, split, image, mask)


def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise DataError(f"{path} is no picture")
    return np.asarray(picture, np.uint8)
