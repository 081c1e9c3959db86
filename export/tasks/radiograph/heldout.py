"""A split of training films that asks for more than their own validation does: other sources, and another look.

Where every film of a class comes from one archive, a validation of the same archives rewards a network that tells
archives. Here one source of COVID-19 films is left out of training and validates, and so do the normal films that look
least like the others: the archive hides its hospitals, but grey levels and frames differ.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.errors import DataError
from export.tasks.radiograph.data import CLASSES, Grey, LabelledRadiograph, read_radiographs

_SIDE, _FRAME, _LEVELS = 128, 6, 16


def write_held_out(folder: Path, out: Path, source: str, share: float = 0.35) -> Path:
    """Write ``labels.csv`` of the films of a folder's split "train", split anew, into `out`, and return its path.

    Args:
        folder: one that `read_radiographs` takes, whose table names sources.
        out: made where it is missing; the films stay where they are.
        source: text in a film's row of the table, in any column: one collection's films may be in another's too.
        share: of the normal films that validate: those at one end of the widest spread of looks.

    Raises:
        DataError: there is no such source, or nothing else to learn from.
    """
    films = [film for film in read_radiographs(folder) if film.split == "train"]
    of_source = _of_source(folder, source)
    held = {film.file for film in films if film.value == 0 and film.file in of_source}
    normal = [film for film in films if film.value == 1]
    if not held or len(held) == sum(film.value == 0 for film in films) or not normal:
        raise DataError(f"{folder} has no source {source!r} of {CLASSES[0]} beside others, or no film of {CLASSES[1]}")
    held |= {film.file for film in _apart(normal, share)}
    out.mkdir(parents=True, exist_ok=True)
    table = out / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as lines:
        rows = csv.writer(lines)
        rows.writerow(("file", "label", "split", "source"))
        for film in films:
            # What else is of the source left out is in neither split.
            beside = film.value != 0 and film.file in of_source
            split = "neither" if beside else "val" if film.file in held else "train"
            rows.writerow((film.file.resolve(), film.label, split, film.source))
    return table


def _of_source(folder: Path, source: str) -> set[Path]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        return {
            folder / row["file"] for row in csv.DictReader(lines) if any(source in str(cell) for cell in row.values())
        }


def look(film: Grey) -> NDArray[np.float64]:
    """Return what a film looks like but for its content: shares of grey levels, and the levels along its four edges."""
    small = cv2.resize(film, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    levels = np.bincount(small.ravel() // (256 // _LEVELS), minlength=_LEVELS) / small.size
    edges = [part.mean() / 255 for part in (small[:_FRAME], small[-_FRAME:], small[:, :_FRAME], small[:, -_FRAME:])]
    return np.concatenate([levels, edges])


def _apart(films: Sequence[LabelledRadiograph], share: float) -> list[LabelledRadiograph]:
    """Return that share of the films at one end of the first principal axis of their looks."""
    looks = np.stack([look(film.read()) for film in films])
    centred = looks - looks.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    # The sign of an axis is arbitrary: the end that is farther out is taken.
    along = centred @ axis
    along = along if along.max() >= -along.min() else -along
    ordered = np.argsort(along, kind="stable")[::-1]
    return [films[index] for index in ordered[: round(share * len(films))]]


def add_command(commands: Any) -> None:
    """Add ``hold-out`` to the commands of `python -m export`."""
    command = commands.add_parser("hold-out", help="split training radiographs anew, a source left out to validate on")
    command.set_defaults(command=_hold_out)
    command.add_argument("data", type=Path, help="folder of radiographs whose labels.csv names sources")
    command.add_argument("--source", required=True, help="text in a row of labels.csv, such as a collection's address")
    command.add_argument("--out", type=Path, required=True, help="folder for the new labels.csv")


def _hold_out(options: argparse.Namespace) -> int:
    print(write_held_out(options.data, options.out, options.source))
    return 0
