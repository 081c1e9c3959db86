"""COCO's instances as label maps: category ids are label values."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.errors import DataError


@dataclass(frozen=True)
class Instances:
    """The instances of one photograph.

    Attributes:
        height: of the photograph, in pixels.
        width: likewise.
        shapes: category id and COCO ``segmentation`` of each.
    """

    height: int
    width: int
    shapes: tuple[tuple[int, Any], ...]

    def read(self) -> NDArray[np.uint8]:
        """Return the label map, uint8 (H, W); where instances overlap, the largest id wins, as ZeroWaste has it.

        Raises:
            DataError: a shape is neither polygons nor an uncompressed run-length code.
        """
        labels = np.zeros((self.height, self.width), np.uint8)
        for value, shape in sorted(self.shapes, key=lambda each: each[0]):
            labels[self._mask(shape)] = value
        return labels

    def _mask(self, shape: Any) -> NDArray[np.bool_]:
        mask = np.zeros((self.height, self.width), np.uint8)
        if isinstance(shape, list):
            for ring in shape:
                points = np.rint(np.asarray(ring, np.float64).reshape(-1, 2)).astype(np.int32)
                cv2.fillPoly(mask, [points], color=1)
            return mask > 0
        if not isinstance(shape, dict) or not isinstance(shape.get("counts"), list):
            raise DataError("an instance is neither polygons nor an uncompressed run-length code")
        counts = np.asarray(shape["counts"], np.int64)
        if counts.sum() != mask.size or (counts < 0).any():
            raise DataError("a run-length code is not of the photograph's size")
        # Runs go down the columns, and begin with background.
        runs = np.arange(len(counts)) % 2 == 1
        return np.asarray(np.repeat(runs, counts).reshape(self.width, self.height).T)


@dataclass(frozen=True)
class CocoFile:
    """What one file of instances says.

    Attributes:
        names: the categories' names in the order of their ids.
        photos: file name → instances.
    """

    names: tuple[str, ...]
    photos: Mapping[str, Instances]


def read_coco(path: Path) -> CocoFile:
    """Return the instances of every photograph that a file names; crowds (`iscrowd`) are left out.

    Raises:
        DataError: the file is not there, or no COCO file of instances whose ids run 1, 2, 3, ….
    """
    try:
        document = json.loads(path.read_bytes())
        categories = sorted((int(each["id"]), str(each["name"])) for each in document["categories"])
        shapes = _shapes(document["annotations"])
        photos = {
            str(each["file_name"]): Instances(int(each["height"]), int(each["width"]), tuple(shapes[each["id"]]))
            for each in document["images"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no COCO file of instances: {error!r}") from error
    if [number for number, _ in categories] != list(range(1, len(categories) + 1)):
        raise DataError(f"the category ids of {path} do not run 1, 2, 3, …")
    return CocoFile(tuple(name for _, name in categories), photos)


def _shapes(annotations: Sequence[Mapping[str, Any]]) -> Mapping[Any, list[tuple[int, Any]]]:
    shapes: dict[Any, list[tuple[int, Any]]] = defaultdict(list)
    for each in annotations:
        if not each.get("iscrowd"):
            shapes[each["image_id"]].append((int(each["category_id"]), each["segmentation"]))
    return shapes
