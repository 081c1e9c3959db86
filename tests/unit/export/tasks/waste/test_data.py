"""The layouts of labelled photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from export.errors import DataError
from export.tasks.waste.coco import read_coco
from export.tasks.waste.data import read_photos
from export.tasks.waste.spec import LABEL_SETS

CATEGORIES = [{"id": number, "name": spec.name} for number, spec in enumerate(LABEL_SETS["zerowaste"][1:], start=1)]


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def document(**changes: Any) -> dict[str, Any]:
    """Return ZeroWaste's labels of one photograph of 20×12 in which a metal can lies on cardboard."""
    return {
        "images": [{"id": 7, "file_name": "a.PNG", "height": 12, "width": 20}],
        "categories": CATEGORIES,
        "annotations": [
            {"image_id": 7, "category_id": 3, "segmentation": square(2, 2, 4)},
            {"image_id": 7, "category_id": 2, "segmentation": square(4, 4, 6)},
            {"image_id": 7, "category_id": 4, "iscrowd": 1, "segmentation": square(0, 0, 9)},
        ],
        **changes,
    }


def write_photo(path: Path, height: int = 12, width: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 80, np.uint8))


def test_a_manifest_names_photographs_and_what_of_them_is_photograph(photos: Path) -> None:
    found = read_photos(photos)
    assert found.label_set == "bags"
    assert [photo.name for photo in found.of("val")] == ["photo-4", "photo-5"]
    image, labels = found.photos[0].read_image(), found.photos[0].read_labels()
    assert image.shape == (80, 120, 3)
    assert labels.shape == (80, 120)
    assert image.max() < 255, "the white bars are cut off"
    # Green bags are 1: the channels are in the order of RGB.
    bag = np.median(image[labels == 1], axis=0)
    assert bag[1] > bag[0] + 50
    with pytest.raises(DataError, match="no photograph in the split 'test'"):
        found.of("test")


def test_without_a_box_the_whole_picture_counts(photos: Path) -> None:
    rows = (photos / "manifest.csv").read_text().splitlines()
    (photos / "manifest.csv").write_text("\n".join(",".join(row.split(",")[:2]) for row in rows))
    assert read_photos(photos).photos[0].read_image().shape == (120, 120, 3)


def test_zerowaste_is_read_from_its_masks(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_photo(tmp_path / split / "data" / "a.PNG")
        (tmp_path / split / "sem_seg").mkdir()
        cv2.imwrite(str(tmp_path / split / "sem_seg" / "a.PNG"), np.full((12, 20), 4, np.uint8))
    found = read_photos(tmp_path)
    assert (found.label_set, [photo.split for photo in found.photos]) == ("zerowaste", ["train", "val"])
    assert (found.photos[0].read_labels() == 4).all()


def test_without_masks_zerowaste_is_drawn_and_the_largest_id_wins(tmp_path: Path) -> None:
    write_photo(tmp_path / "train" / "data" / "a.PNG")
    (tmp_path / "train" / "labels.json").write_text(json.dumps(document()))
    labels = read_photos(tmp_path).photos[0].read_labels()
    assert labels.shape == (12, 20)
    assert labels[3, 3] == 3
    assert labels[5, 5] == 3, "cardboard was listed later, metal has the larger id"
    assert labels[8, 8] == 2
    assert labels[0, 0] == 0, "crowds are left out"


def test_coco_is_read_by_its_categories(tmp_path: Path) -> None:
    write_photo(tmp_path / "train2024" / "a.PNG")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2024.json").write_text(json.dumps(document()))
    found = read_photos(tmp_path)
    assert (found.label_set, found.photos[0].split) == ("zerowaste", "train")
    assert np.unique(found.photos[0].read_labels()).tolist() == [0, 2, 3]


def test_run_lengths_go_down_the_columns(tmp_path: Path) -> None:
    runs = {"size": [12, 20], "counts": [12, 3, 12 * 20 - 15]}
    annotation = [{"image_id": 7, "category_id": 1, "segmentation": runs}]
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(document(annotations=annotation)))
    labels = read_coco(file).photos["a.PNG"].read()
    assert np.argwhere(labels == 1).tolist() == [[0, 1], [1, 1], [2, 1]]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [12, 20], "counts": "461K"}, "neither polygons nor an uncompressed"),
        ({"size": [12, 20], "counts": [3, 4]}, "not of the photograph's size"),
        (7, "neither polygons nor an uncompressed"),
    ],
)
def test_shapes_of_other_kinds_are_refused(tmp_path: Path, segmentation: Any, reason: str) -> None:
    file = tmp_path / "labels.json"
    annotation = [{"image_id": 7, "category_id": 1, "segmentation": segmentation}]
    file.write_text(json.dumps(document(annotations=annotation)))
    with pytest.raises(DataError, match=reason):
        read_coco(file).photos["a.PNG"].read()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"categories": [{"id": 2, "name": "glass"}]}, "do not run 1, 2, 3"),
        ({"categories": [{"id": 1, "name": "glass"}]}, "no label set has the categories glass"),
        ({"images": [{}]}, "no COCO file of instances"),
    ],
)
def test_files_that_say_something_else_are_refused(tmp_path: Path, changes: Any, reason: str) -> None:
    write_photo(tmp_path / "train" / "data" / "a.PNG")
    (tmp_path / "train" / "labels.json").write_text(json.dumps(document(**changes)))
    with pytest.raises(DataError, match=reason):
        read_photos(tmp_path)


def test_what_is_missing_is_named(photos: Path, tmp_path: Path) -> None:
    (photos / "masks" / "photo-3.png").unlink()
    with pytest.raises(DataError, match=r"missing file .*photo-3\.png"):
        read_photos(photos)
    (photos / "images" / "photo-0.png").unlink()
    with pytest.raises(DataError, match="lacks the picture of photo-0"):
        read_photos(photos)
    (photos / "manifest.csv").write_text("id\n")
    with pytest.raises(DataError, match="lacks the columns split"):
        read_photos(photos)
    with pytest.raises(DataError, match=r"neither manifest\.csv"):
        read_photos(tmp_path)


def test_the_real_samples_are_read(waste_seg: Path) -> None:
    found = read_photos(waste_seg)
    assert (len(found.of("train")), len(found.of("val"))) == (330, 60)
    photo = found.of("val")[0]
    assert photo.read_image().shape[:2] == photo.read_labels().shape
    assert set(np.unique(photo.read_labels())) <= {0, 1, 2}
