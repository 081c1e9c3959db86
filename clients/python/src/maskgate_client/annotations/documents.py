"""Annotations as JSON: COCO, one file for all images, and LabelMe, one for each."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any

from maskgate_client.annotations.objects import AnnotatedImage, Annotation
from maskgate_client.images import png_bytes

_LABELME = "5.5.0"
"""The version whose files these are: the first that keeps masks."""


def coco(images: Sequence[AnnotatedImage], categories: Mapping[int, str], *, rle: bool) -> bytes:
    """Return a COCO annotation file, which pycocotools reads.

    Args:
        images: numbered from 1.
        categories: names by number.
        rle: all masks as run lengths. Else objects are polygons, but for those with holes, which COCO's polygons do not
            know.
    """
    numbers = {name: number for number, name in categories.items()}
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        for each in image.annotations:
            x0, y0, x1, y1 = each.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[each.label],
                    "segmentation": _run_lengths(each) if rle or each.holed else _polygons(each),
                    "area": each.area,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": 0,
                    **({} if each.score is None else {"score": each.score}),
                }
            )
    return _json(
        {
            "info": {"description": "Objects found by Maskgate"},
            "licenses": [],
            "images": [
                {"id": number, "file_name": image.name, "width": image.width, "height": image.height}
                for number, image in enumerate(images, start=1)
            ],
            "annotations": annotations,
            "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in categories.items()],
        }
    )


def _run_lengths(each: Annotation) -> dict[str, Any]:
    return {"size": [each.rle.height, each.rle.width], "counts": each.rle.counts}


def _polygons(each: Annotation) -> list[list[float]]:
    return [[value for point in outline for value in point] for (outline,) in each.parts]


def labelme(image: AnnotatedImage, stored: Path) -> bytes:
    """Return a LabelMe file of an image.

    An object is a polygon per part, joined by their group; LabelMe's polygons have no holes, so that one with holes is
    a mask. The picture is named and not copied.

    Args:
        image: the image.
        stored: where the image lies, seen from the folder of the LabelMe file.
    """
    shapes = [
        shape | {"label": each.label, "group_id": group, "flags": {}, "description": ""}
        for group, each in enumerate(image.annotations, start=1)
        for shape in (_mask(each) if each.holed else _outlines(each))
    ]
    return _json(
        {
            "version": _LABELME,
            "flags": {},
            "shapes": shapes,
            "imagePath": stored.as_posix(),
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
    )


def _outlines(each: Annotation) -> list[dict[str, Any]]:
    return [{"shape_type": "polygon", "points": list(outline), "mask": None} for (outline,) in each.parts]


def _mask(each: Annotation) -> list[dict[str, Any]]:
    """Return an object as LabelMe keeps masks: the pixels of its box, whose second corner is its last pixel."""
    x0, y0, x1, y1 = each.box
    part = each.rle.pixels()[y0:y1, x0:x1]
    picture = b64encode(png_bytes(part.astype("uint8"))).decode()
    return [{"shape_type": "mask", "points": [[x0, y0], [x1 - 1, y1 - 1]], "mask": picture}]


def seen_from(folder: Path, image: Path) -> Path:
    """Return the path of an image from a folder; its absolute path where there is none, as on another drive."""
    try:
        return Path(relpath(image.resolve(), folder.resolve()))
    except ValueError:
        return image.resolve()


def _json(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False) + "\n").encode()
