"""Boxes of objects in files: a table (CSV), or COCO annotations."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

from maskgate_client.tasks.interactive.prompts import Prompt

_IMAGE = ("image", "file_name", "filename")
_CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"))

Box = tuple[float, float, float, float]


class BoxesInvalidError(ValueError):
    """The file holds no boxes, or not as it should."""


def read_boxes(path: Path, *, tight: bool) -> dict[str, tuple[Prompt, ...]]:
    """Return a prompt per box, by the name of its image without folders, in the order of the file.

    A CSV file has a head and the columns ``image`` (or ``file_name``) and ``x0, y0, x1, y1`` (or ``xmin`` …): two
    opposite corners, as of `Prompt`. COCO's ``bbox`` is left, top, width and height.

    Args:
        path: of the file; what ends in ``.json`` is COCO.
        tight: whether the boxes touch their objects, as measured ones do.

    Raises:
        OSError: it cannot be read.
        BoxesInvalidError: it holds no boxes, or something else; the line or annotation is named.
    """
    found: dict[str, list[Prompt]] = defaultdict(list)
    read = _coco if path.suffix.lower() == ".json" else _table
    try:
        for name, box in read(path.read_text("utf-8-sig")):
            found[PurePosixPath(name.replace("\\", "/")).name].append(Prompt(box=box, tight=tight))
    except (BoxesInvalidError, UnicodeDecodeError, csv.Error) as error:
        raise BoxesInvalidError(f"{path}: {error}") from error
    if not found:
        raise BoxesInvalidError(f"{path}: there are no boxes in it")
    return {name: tuple(prompts) for name, prompts in found.items()}


def _table(text: str) -> Iterator[tuple[str, Box]]:
    rows = csv.DictReader(text.splitlines())
    head = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = head
    image = next((name for name in _IMAGE if name in head), None)
    corners = next((names for names in _CORNERS if set(names) <= set(head)), None)
    if image is None or corners is None:
        raise BoxesInvalidError("the first line names the columns image,x0,y0,x1,y1")
    for row in rows:
        try:
            x0, y0, x1, y1 = (float(row[name]) for name in corners)
        except (TypeError, ValueError):
            raise BoxesInvalidError(f"line {rows.line_num} has no four numbers") from None
        yield _checked((row[image] or "").strip(), (x0, y0, x1, y1), f"line {rows.line_num}")


def _coco(text: str) -> Iterator[tuple[str, Box]]:
    try:
        document = json.loads(text)
        names = {image["id"]: image["file_name"] for image in document["images"]}
        annotations = list(document["annotations"])
    except (ValueError, KeyError, TypeError) as error:
        raise BoxesInvalidError("this is no file of COCO annotations") from error
    for number, annotation in enumerate(annotations):
        yield _annotated(annotation, names, f"annotation {number}")


def _annotated(annotation: Mapping[str, Any], names: Mapping[Any, str], where: str) -> tuple[str, Box]:
    try:
        x, y, width, height = (float(value) for value in annotation["bbox"])
        name = names[annotation["image_id"]]
    except (KeyError, TypeError, ValueError) as error:
        raise BoxesInvalidError(f"{where} has no bbox of four numbers, or no image") from error
    return _checked(name, (x, y, x + width, y + height), where)


def _checked(name: str, box: Box, where: str) -> tuple[str, Box]:
    if not name or not all(map(isfinite, box)):
        raise BoxesInvalidError(f"{where} names no image, or a number is none")
    return name, box
