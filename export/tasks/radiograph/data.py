"""Reader of labelled chest radiographs.

Two layouts are understood: ``labels.csv`` (columns file, label, split and perhaps source), and folders
``<split>/<label>/`` of pictures. Labels are the paper's classes, or what they are called elsewhere; radiographs with
another label are kept, since an evaluation can say what a network makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import DataError
from export.tasks.radiograph.spec import RADIOGRAPH_CLASSES
from export.training.data import existing, read_grey, read_table

Grey = NDArray[np.uint8]

CLASSES = tuple(spec.name for spec in RADIOGRAPH_CLASSES)
"""Names of the label values, in order."""

_COVID, _NORMAL = CLASSES
_NAMES = {"covid19": _COVID, "covid-19": _COVID, "covid": _COVID, "no_finding": _NORMAL, "normal": _NORMAL}
_PICTURES = frozenset({".png", ".jpg", ".jpeg"})


@dataclass(frozen=True)
class LabelledRadiograph:
    """One picture and what it shows: a class of the paper, or something else; `source` is its collection, if named."""

    file: Path
    label: str
    split: str
    source: str = ""

    @property
    def value(self) -> int | None:
        """Return the label's value; None where it is no class of the paper."""
        return CLASSES.index(self.label) if self.label in CLASSES else None

    def read(self) -> Grey:
        """Return the radiograph in grey, uint8 (H, W).

        Raises:
            DataError: the file is no picture.
        """
        return read_grey(self.file)


def read_radiographs(folder: Path) -> list[LabelledRadiograph]:
    """Return the radiographs of a folder in either layout, sorted by file.

    Raises:
        DataError: there are none, the table lacks a column, or a file is missing.
    """
    radiographs = _of_table(folder) if (folder / "labels.csv").is_file() else _of_folders(folder)
    if not radiographs:
        raise DataError(f"{folder} holds neither labels.csv nor folders <split>/<label>/ of pictures")
    for radiograph in radiographs:
        existing(radiograph.file)
    return sorted(radiographs, key=lambda radiograph: radiograph.file)


def _of_table(folder: Path) -> list[LabelledRadiograph]:
    rows = read_table(folder / "labels.csv", "file", "label", "split")
    return [
        LabelledRadiograph(folder / row["file"], _known(row["label"]), row["split"], row.get("source") or "")
        for row in rows
    ]


def _of_folders(folder: Path) -> list[LabelledRadiograph]:
    return [
        LabelledRadiograph(file, _known(file.parent.name), file.parent.parent.name)
        for file in folder.glob("*/*/*")
        if file.suffix.lower() in _PICTURES
    ]


def _known(label: str) -> str:
    return _NAMES.get(label.lower(), label)
