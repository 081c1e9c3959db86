"""Boxes of objects in files: a table (CSV), or COCO annotations."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

from maskgate_client.tasks.interactive.prompts import Prompt

_IMAGE = ("image", "file_name", "filename")
_CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"))
_LABEL = ("label", "category", "class")

Box = tuple[float, float, float, float]
Row = tuple[str, Box, str | None]
"""Name of an image, a box in it, and the category of what is in the box."""


@dataclass(frozen=True)
class Shown:
    """What shows an object, and the name of its category, where it is said."""

    prompt: Prompt
    label: str | None = None


@dataclass(frozen=True)
class Boxes:
    """What a file says.

    Attributes:
        objects: of each image, by its name without folders, in the order of the file.
        names: what the file calls each image, by that name.
        categories: of COCO all categories by number; else none.
    """

    objects: Mapping[str, tuple[Shown, ...]]
    names: Mapping[str, str]
    categories: Mapping[int, str]


class BoxesInvalidError(ValueError):
    """The file holds no boxes, or not as it should."""


def read_boxes(path: Path, *, tight: bool) -> Boxes:
    """Return the boxes of a file, a prompt each.

    A CSV file has a head and the columns ``image`` (or ``file_name``) and ``x0, y0, x1, y1`` (or ``xmin`` …): two
    opposite corners, as of `Prompt`; and perhaps ``label``. COCO's ``bbox`` is left, top, width and height.

    Args:
        path: of the file; what ends in ``.json`` is COCO.
        tight: whether the boxes touch their objects, as measured ones do.

    Raises:
        OSError: it cannot be read.
        BoxesInvalidError: it holds no boxes, or something else; the line or annotation is named.
    """
    found: dict[str, list[Shown]] = defaultdict(list)
    names: dict[str, str] = {}
    try:
        text = path.read_text("utf-8-sig")
        document = _document(text) if path.suffix.lower() == ".json" else None
        categories = {} if document is None else _categories(document)
        for name, box, label in _table(text) if document is None else _coco(document, categories):
            stripped = PurePosixPath(name.replace("\\", "/")).name
            names[stripped] = name
            found[stripped].append(Shown(Prompt(box=box, tight=tight), label))
    except (BoxesInvalidError, UnicodeDecodeError, csv.Error) as error:
        raise BoxesInvalidError(f"{path}: {error}") from error
    if not found:
        raise BoxesInvalidError(f"{path}: there are no boxes in it")
    return Boxes({name: tuple(shown) for name, shown in found.items()}, names, categories)


def _table(text: str) -> Iterator[Row]:
    rows = csv.DictReader(text.splitlines())
    head = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = head
    image = next((name for name in _IMAGE if name in head), None)
    corners = next((names for names in _CORNERS if set(names) <= set(head)), None)
    label = next((name for name in _LABEL if name in head), "")
    if image is None or corners is None:
        raise BoxesInvalidError("the first line names the columns image,x0,y0,x1,y1")
    for row in rows:
        try:
            x0, y0, x1, y1 = (float(row[name]) for name in corners)
        except (TypeError, ValueError):
            raise BoxesInvalidError(f"line {rows.line_num} has no four numbers") from None
        name, box = _checked((row[image] or "").strip(), (x0, y0, x1, y1), f"line {rows.line_num}")
        yield name, box, (row.get(label) or "").strip() or None


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
        known = {"images": list(document["images"]), "annotations": list(document["annotations"])}
        return {**known, "categories": list(document.get("categories", ()))}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BoxesInvalidError("this is no file of COCO annotations") from error


def _categories(document: Mapping[str, Any]) -> dict[int, str]:
    try:
        return {int(each["id"]): str(each["name"]) for each in document["categories"]}
    except (ValueError, KeyError, TypeError) as error:
        raise BoxesInvalidError("a category has no number, or no name") from error


def _coco(document: Mapping[str, Any], categories: Mapping[int, str]) -> Iterator[Row]:
    try:
        names = {image["id"]: image["file_name"] for image in document["images"]}
    except (KeyError, TypeError) as error:
        raise BoxesInvalidError("this is no file of COCO annotations") from error
    for number, annotation in enumerate(document["annotations"]):
        name, box = _annotated(annotation, names, f"annotation {number}")
        yield name, box, categories.get(annotation.get("category_id"))


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
