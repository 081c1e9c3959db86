"""Reader of labelled chest radiographs.

Two layouts are understood: ``labels.csv`` (columns file, label and split; others are not read), and folders
``<split>/<label>/`` of pictures. Labels are the paper's classes, or what they are called elsewhere; films with another
label are kept, since an evaluation can say what a network makes of them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.tasks.damage.data import DataError
from export.tasks.radiograph.catalogue import FILM_CLASSES

Grey = NDArray[np.uint8]

CLASSES = tuple(spec.name for spec in FILM_CLASSES)
"""Names of the label values, in order."""

_COVID, _NORMAL = CLASSES
_NAMES = {"covid19": _COVID, "covid-19": _COVID, "covid": _COVID, "no_finding": _NORMAL, "normal": _NORMAL}
_PICTURES = frozenset({".png", ".jpg", ".jpeg"})


@dataclass(frozen=True)
class LabelledFilm:
    """One picture and what it shows: a class of the paper, or something else."""

    file: Path
    label: str
    split: str

    @property
    def value(self) -> int | None:
        """Return the label's value; None where it is no class of the paper."""
        return CLASSES.index(self.label) if self.label in CLASSES else None

    def read(self) -> Grey:
        """Return the film in grey, uint8 (H, W).

        Raises:
            DataError: the file is no picture.
        """
        picture = cv2.imread(str(self.file), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if picture is None:
            raise DataError(f"{self.file} is no picture")
        return np.asarray(picture, np.uint8)


def read_films(folder: Path) -> list[LabelledFilm]:
    """Return the films of a folder in either layout, sorted by file.

    Raises:
        DataError: there are none, the table lacks a column, or a file is missing.
    """
    films = _of_table(folder) if (folder / "labels.csv").is_file() else _of_folders(folder)
    if not films:
        raise DataError(f"{folder} holds neither labels.csv nor folders <split>/<label>/ of pictures")
    for film in films:
        if not film.file.is_file():
            raise DataError(f"missing file {film.file}")
    return sorted(films, key=lambda film: film.file)


def _of_table(folder: Path) -> list[LabelledFilm]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if missing := {"file", "label", "split"} - set(rows.fieldnames or ()):
            raise DataError(f"labels.csv lacks the columns {', '.join(sorted(missing))}")
        return [LabelledFilm(folder / row["file"], _known(row["label"]), row["split"]) for row in rows]


def _of_folders(folder: Path) -> list[LabelledFilm]:
    return [
        LabelledFilm(file, _known(file.parent.name), file.parent.parent.name)
        for file in folder.glob("*/*/*")
        if file.suffix.lower() in _PICTURES
    ]


def _known(label: str) -> str:
    return _NAMES.get(label.lower(), label)
