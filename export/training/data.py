"""What readers of labelled data share: pictures, and tables that name them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from export.errors import DataError


class Sourced(Protocol):
    """A sample that says which source it is of."""

    @property
    def source(self) -> str:
        """Name of the source."""


T = TypeVar("T")
S = TypeVar("S", bound=Sourced)


def read_rgb(path: Path, *, upright: bool = True) -> NDArray[np.uint8]:
    """Return an image file as (H, W, 3) RGB, turned as its EXIF says if it is to be `upright`; alpha is dropped.

    Raises:
        DataError: the file is no picture.
    """
    flags = cv2.IMREAD_COLOR | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(_read(path, flags), cv2.COLOR_BGR2RGB), np.uint8)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Return an image file in grey, (H, W), as it is stored, whatever its EXIF says of its orientation.

    Raises:
        DataError: the file is no picture.
    """
    return _read(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file.

    Raises:
        DataError: it lacks one of the `columns`.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if missing := set(columns) - set(rows.fieldnames or ()):
            raise DataError(f"{path.name} lacks the columns {', '.join(sorted(missing))}")
        return list(rows)


def read_folders(root: Path, readers: Mapping[str, Callable[[Path], Iterator[T]]]) -> list[T]:
    """Return what is read of those folders of `root`, by name, that are there and have a ``manifest.csv``.

    Raises:
        DataError: there is nothing in any of them, or a file is lacking.
    """
    found = [
        each for name, read in readers.items() if (root / name / "manifest.csv").is_file() for each in read(root / name)
    ]
    if not found:
        raise DataError(f"{root} holds none of {', '.join(readers)}")
    return found


def few_of_each_source(samples: Iterable[S], count: int) -> list[S]:
    """Return the first so many of each source: a run looks at them often, and `evaluate` at all."""
    by_source: dict[str, list[S]] = {}
    for sample in samples:
        by_source.setdefault(sample.source, []).append(sample)
    return [sample for found in by_source.values() for sample in found[:count]]


def unshown(label_maps: Sequence[NDArray[np.uint8]], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes, the background apart, that no label map shows."""
    shown = {int(value) for labels in label_maps for value in np.unique(labels)}
    return tuple(name for value, name in enumerate(names) if value and value not in shown)


def words_of(label_maps: Sequence[NDArray[np.uint8]], names: Sequence[str], what: str, without: str) -> str:
    """Return in words what a network was learnt from: how many examples of `what`, and how many show each class."""
    unseen = unshown(label_maps, names)
    counted = ", ".join(
        f"{sum(bool((labels == value).any()) for labels in label_maps)} with {name}"
        for value, name in enumerate(names)
        if value and name not in unseen
    )
    return f"{len(label_maps)} labelled {what} ({counted or without})"


def existing(path: Path) -> Path:
    """Return the path of a file that is there.

    Raises:
        DataError: it is not.
    """
    if not path.is_file():
        raise DataError(f"missing file {path}")
    return path


def _read(path: Path, flags: int) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise DataError(f"{path} is no picture")
    return np.asarray(picture, np.uint8)
