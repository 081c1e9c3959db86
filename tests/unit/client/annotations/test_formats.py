"""Annotations in each format, read back by programs that are not ours, or as strictly as their documents ask."""

from __future__ import annotations

import base64
import io
import json
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import yaml
from maskgate_client import (
    Dataset,
    LabelMapReport,
    MaskReport,
    NotGeoreferencedError,
    ObjectMask,
    Part,
    Region,
    RunLengths,
)
from maskgate_client.annotations.folders import joined
from maskgate_client.annotations.maps import georeference
from maskgate_client.images import png_bytes
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from rasterio.warp import transform_geom

from gateway.vision import masks, outlines
from gateway.vision.regions import regions_of_classes

# Of pycocotools itself, which is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
Mask = NDArray[np.bool_]
HEIGHT, WIDTH = 60, 80


def drawn() -> list[Mask]:
    """Return an object with two holes, one of three parts of which one is a pixel, and a plain one over the first."""
    pixels = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(pixels[0], (25, 30), (20, 24), 10, 0, 360, 1, cv2.FILLED)
    cv2.circle(pixels[0], (20, 24), 6, 0, cv2.FILLED)
    pixels[0, 38:46, 24:34] = 0
    cv2.circle(pixels[1], (60, 14), 9, 1, cv2.FILLED)
    pixels[1, 40:55, 60:70] = 1
    pixels[1, HEIGHT - 1, WIDTH - 1] = 1
    pixels[2, 4:20, 30:50] = 1
    return [each > 0 for each in pixels]


def clicked(found: list[Mask]) -> MaskReport:
    """Return what a gateway answers of these objects and one that was not found."""
    objects = [
        ObjectMask(
            value=value,
            rle=RunLengths.of(mask),
            parts=tuple(
                Part(
                    tuple((x, y) for x, y in part.polygon),
                    tuple(tuple((x, y) for x, y in h) for h in part.holes),
                    part.area,
                )
                for part in outlines.outlines(kept)
            ),
            box=(kept.box.x0, kept.box.y0, kept.box.x1 + 1, kept.box.y1 + 1) if kept.box else None,
            area=kept.area,
            score=0.5 + value / 10,
            threshold=0.5,
            crop=None,
            notices=(),
        )
        for value, mask in enumerate([*found, np.zeros((HEIGHT, WIDTH), np.bool_)], start=1)
        for kept in [masks.ObjectMask.of(mask)]
    ]
    told: Any = SimpleNamespace(model="m")
    return MaskReport("m", WIDTH, HEIGHT, tuple(objects), (), told, {}, None, {})


def mapped(label_map: NDArray[np.uint8], *, bring: bool) -> LabelMapReport:
    """Return what a gateway answers of a label map; `bring`: with the map itself."""
    certain = np.full((*label_map.shape, 3), 255, np.uint8)
    found = regions_of_classes(label_map, certain[..., 0], 3)
    names = ("background", "bag", "bottle")
    listed = tuple(
        Region(
            tuple((x, y) for x, y in each.polygon),
            tuple(tuple((x, y) for x, y in hole) for hole in each.holes),
            *(each.value, names[each.value], each.area, 0.9, each.box),
        )
        for each in found
    )
    told: Any = SimpleNamespace(model="m")
    pictures = {"label_map": png_bytes(label_map)} if bring else {}
    return LabelMapReport("m", label_map.shape[1], label_map.shape[0], (), listed, (), told, pictures, {})


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "my photo.png"
    path.parent.mkdir()
    path.write_bytes(png_bytes(np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
    return path


@pytest.fixture
def dataset(photo: Path) -> Dataset:
    dataset = Dataset({7: "cup", 3: "cat", 9: "never seen"})
    dataset.add(photo, clicked(drawn()), labels=["cat", "cup", "cat", "cup"])
    return dataset


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def union(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("kind", ["coco", "coco-rle"])
def test_pycocotools_reads_coco(dataset: Dataset, tmp_path: Path, kind: Any) -> None:
    [file] = dataset.save(tmp_path / "out", kind)
    coco = COCO(str(file))
    assert coco.loadImgs([1])[0] == {"id": 1, "file_name": "my photo.png", "width": WIDTH, "height": HEIGHT}
    assert {each["id"]: each["name"] for each in coco.loadCats(coco.getCatIds())} == {
        7: "cup",
        3: "cat",
        9: "never seen",
    }
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [(each["category_id"], each["score"]) for each in annotations] == [(3, 0.6), (7, 0.7), (3, 0.8)]
    for each, mask in zip(annotations, drawn(), strict=True):
        np.testing.assert_array_equal(coco.annToMask(each) > 0, mask)
        assert each["area"] == mask.sum()
        x, y, width, height = each["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum()
    # Polygons where polygons can tell it: the first object has holes.
    assert [isinstance(each["segmentation"], list) for each in annotations] == (
        [False, True, True] if kind == "coco" else [False] * 3
    )


def read_yolo(folder: Path, stem: str) -> list[tuple[str, Mask]]:
    """Read labels as https://docs.ultralytics.com/datasets/segment says and its loader insists.

    A line is a class and at least three points, all shares of the image from 0 to 1; the loader fills rings by
    `cv2.fillPoly`, and finds labels by the image's path.
    """
    table = yaml.safe_load((folder / "data.yaml").read_text())
    assert {"train", "val", "names"} <= table.keys()
    assert list(table["names"]) == list(range(len(table["names"])))
    [image] = (folder / table["train"]).glob(f"{stem}.*")
    width, height = opened(image).size
    found = []
    for line in (folder / "labels" / f"{stem}.txt").read_text().splitlines():
        number, *values = line.split()
        points = np.array(values, np.float64).reshape(-1, 2)
        assert len(points) >= 3
        assert (points >= 0).all()
        assert (points <= 1).all()
        # On a finer grid, since OpenCV draws the border too.
        fine = np.zeros((height * 8, width * 8), np.uint8)
        cv2.fillPoly(fine, [np.rint(points * (width * 8, height * 8) - 0.5).astype(int)], 1)
        found.append((table["names"][int(number)], fine[4::8, 4::8] > 0))
    return found


def test_yolo_keeps_parts_and_holes_in_one_ring(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "out", "yolo")
    found = read_yolo(tmp_path / "out", "my photo")
    assert [name for name, _ in found] == ["cat", "cup", "cat"]
    for (_, mask), truth in zip(found, drawn(), strict=True):
        assert union(mask, truth) > 0.97


def test_joined_rings_enclose_what_they_did() -> None:
    square = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]
    hole = [(4.0, 4.0), (4.0, 6.0), (6.0, 6.0), (6.0, 4.0)]
    far = [(20.0, 0.0), (22.0, 0.0), (22.0, 2.0), (20.0, 2.0)]
    ring = joined([square, hole, far])
    x, y = ring.T
    # The hole runs the other way round, as outlines have it.
    assert abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2 == 100 - 4 + 4
    assert {tuple(point) for point in ring.tolist()} == {*square, *hole, *far}


def test_voc_is_indexed_in_its_own_colours(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "out", "voc")
    out = tmp_path / "out"
    assert (out / "ImageSets/Segmentation/trainval.txt").read_text().split("\n") == ["my photo", ""]
    classes, objects = (
        opened(out / f"{folder}/my photo.png") for folder in ("SegmentationClass", "SegmentationObject")
    )
    # The first colours of VOC's development kit: background, aeroplane, bicycle, bird; and those of the void, 255.
    for picture in (classes, objects):
        palette = np.array(picture.getpalette()).reshape(-1, 3)
        assert picture.mode == "P"
        assert palette[[0, 1, 2, 3, 255]].tolist() == [
            *([0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]),
            [224, 224, 192],
        ]
    first, second, third = drawn()
    expected = np.select([third, second, first], [3, 2, 1])
    np.testing.assert_array_equal(np.asarray(objects), expected)
    np.testing.assert_array_equal(np.asarray(classes), np.select([expected == 2, expected > 0], [1, 2]))
    table = (out / "labelmap.txt").read_text().splitlines()
    assert table[1:4] == ["background:0,0,0::", "cup:128,0,0::", "cat:0,128,0::"]
    boxes = ElementTree.parse(out / "Annotations/my photo.xml").getroot()
    assert [boxes.findtext(tag) for tag in ("filename", "size/width", "size/height", "segmented")] == [
        *("my photo.jpg", "80", "60", "1")
    ]
    corners = [
        [int(each.findtext(f"bndbox/{tag}") or 0) for tag in ("xmin", "ymin", "xmax", "ymax")]
        for each in boxes.iter("object")
    ]
    assert corners[2] == [31, 5, 50, 20]
    with Image.open(out / "JPEGImages/my photo.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))


def test_a_turned_photograph_is_upright_beside_its_masks(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(buffer, "JPEG", exif=exif)
    dataset = Dataset()
    dataset.add(buffer.getvalue(), clicked(drawn()), name="turned.jpg")
    dataset.save(tmp_path, "voc")
    assert opened(tmp_path / "JPEGImages/turned.jpg").size == (WIDTH, HEIGHT)


def read_labelme(path: Path) -> list[tuple[str, int, Mask]]:
    """Read a file by the rules of LabelMe's own reader, `labelme/_label_file.py` of 6.3, asserted here."""
    document = json.loads(path.read_text())
    assert document.keys() >= {"version", "imageData", "imagePath", "shapes", "flags", "imageHeight", "imageWidth"}
    with Image.open(path.parent / document["imagePath"]) as image:
        assert image.size == (document["imageWidth"], document["imageHeight"])
    assert document["imageData"] is None
    found = []
    for shape in document["shapes"]:
        assert isinstance(shape["label"], str)
        assert isinstance(shape["group_id"], int)
        assert shape["points"]
        assert all(isinstance(point, list) and len(point) == 2 for point in shape["points"])
        mask = np.zeros((document["imageHeight"], document["imageWidth"]), np.uint8)
        if shape["shape_type"] == "mask":
            part = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
            (x0, y0), (x1, y1) = shape["points"]
            mask[y0 : y1 + 1, x0 : x1 + 1] = part
        else:
            assert shape["shape_type"] == "polygon"
            fine = np.zeros((mask.shape[0] * 8, mask.shape[1] * 8), np.uint8)
            cv2.fillPoly(fine, [np.rint(np.array(shape["points"]) * 8 - 0.5).astype(int)], 1)
            mask = fine[4::8, 4::8]
        found.append((shape["label"], shape["group_id"], mask > 0))
    return found


def test_labelme_groups_parts_and_masks_what_has_holes(dataset: Dataset, tmp_path: Path) -> None:
    [file] = dataset.save(tmp_path / "out", "labelme")
    found = read_labelme(file)
    assert [(label, group) for label, group, _ in found] == [("cat", 1), *[("cup", 2)] * 3, ("cat", 3)]
    for number, truth in enumerate(drawn(), start=1):
        np.testing.assert_array_equal(np.any([mask for _, group, mask in found if group == number], axis=0), truth)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Return a GeoTIFF in UTM 33 of pixels of half a metre."""
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32633", transform=rasterio.Affine(0.5, 0, 391_000, 0, -0.5, 5_820_000)
    ) as file:
        file.write(np.zeros((3, HEIGHT, WIDTH), np.uint8))
    return path


def test_gdal_and_shapely_read_geojson(scene: Path, tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.add(scene, clicked(drawn()), labels="roof")
    [file] = dataset.save(tmp_path / "out", "geojson")
    meta, _, wkb, fields = pyogrio.raw.read(file)
    assert meta["crs"] == "EPSG:4326"
    read = dict(zip(meta["fields"], fields, strict=True))
    assert read["label"].tolist() == ["roof"] * 3
    assert read["pixels"].tolist() == [int(mask.sum()) for mask in drawn()]
    document = json.loads(file.read_text())
    for geometry, mask, feature in zip(shapely.from_wkb(wkb), drawn(), document["features"], strict=True):
        assert geometry.is_valid
        parts = shapely.get_parts(geometry)
        # RFC 7946: the outer ring against the clock, holes with it.
        assert all(part.exterior.is_ccw and not any(hole.is_ccw for hole in part.interiors) for part in parts)
        home = shapely.geometry.shape(transform_geom("OGC:CRS84", "EPSG:32633", feature["geometry"], precision=-1))
        assert home.area == pytest.approx(mask.sum() / 4, rel=1e-4)
        rows, columns = np.nonzero(mask)
        assert home.bounds == pytest.approx(
            (
                *(391_000 + columns.min() / 2, 5_820_000 - (rows.max() + 1) / 2),
                *(391_000 + (columns.max() + 1) / 2, 5_820_000 - rows.min() / 2),
            ),
            abs=1e-3,
        )


def test_a_world_file_places_a_photograph_as_gdal_does(photo: Path) -> None:
    photo.with_suffix(".pgw").write_text("0.5\n0.1\n-0.2\n-0.5\n391000.25\n5819999.75\n")
    with pytest.raises(NotGeoreferencedError, match="coordinate reference system"):
        georeference(photo)
    photo.with_suffix(".prj").write_text(rasterio.CRS.from_epsg(32633).to_wkt())
    place = georeference(photo)
    with rasterio.open(photo) as gdal:
        assert place.affine == pytest.approx(gdal.transform[:6])
    assert georeference(photo, "EPSG:32632").crs == "EPSG:32632"
    photo.with_suffix(".pgw").write_text("0.5")
    with pytest.raises(NotGeoreferencedError, match="six numbers"):
        georeference(photo)


@pytest.mark.parametrize("point", [False, True])
def test_a_geotiff_is_placed_as_gdal_does(scene: Path, point: bool) -> None:
    if point:
        with rasterio.open(scene, "r+") as file:
            file.update_tags(AREA_OR_POINT="Point")
            file.transform = rasterio.Affine(0.5, 0, 391_000, 0, -0.25, 5_820_000)
    with rasterio.open(scene) as gdal:
        assert georeference(scene).affine == pytest.approx(gdal.transform[:6])
    assert georeference(scene).crs == "EPSG:32633"


def test_what_lies_nowhere_has_no_geojson(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(NotGeoreferencedError, match="nothing says where it lies"):
        dataset.save(tmp_path / "out", "geojson")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bring", [True, False])
def test_pieces_of_a_label_map_have_their_classes(tmp_path: Path, photo: Path, bring: bool) -> None:
    first, second, third = drawn()
    label_map = np.select([third, second, first], [2, 2, 1]).astype(np.uint8)
    dataset = Dataset(["bag", "bottle"])
    dataset.add(photo, mapped(label_map, bring=bring))
    [file] = dataset.save(tmp_path / "out", "coco-rle")
    coco = COCO(str(file))
    painted = np.zeros_like(label_map)
    for each in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(each) > 0
        assert mask.sum() == pytest.approx(each["area"], rel=0.02)
        painted[mask] = each["category_id"]
    wrong = painted != label_map
    assert wrong.sum() <= 40
    # With the label map at hand, what an outline is off by is left out and never of another class.
    assert not (wrong & (painted > 0)).any() or not bring
    # One of a single pixel has an outline too.
    dataset.save(tmp_path / "out", "yolo")
    found = read_yolo(tmp_path / "out", "my photo")
    assert sorted(name for name, _ in found) == ["bag", "bottle", "bottle", "bottle", "bottle"]


def test_nothing_is_replaced_unless_it_is_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    for kind, name in (("yolo", "labels/my photo.txt"), ("voc", "labelmap.txt"), ("labelme", "my photo.json")):
        other = tmp_path / kind / name
        other.parent.mkdir(parents=True)
        other.write_text("mine")
        with pytest.raises(FileExistsError, match="force"):
            dataset.save(tmp_path / kind, kind)  # type: ignore[arg-type]
        assert [path for path in (tmp_path / kind).rglob("*") if path.is_file()] == [other]
        assert other.read_text() == "mine"
        dataset.save(tmp_path / kind, kind, force=True)  # type: ignore[arg-type]
        assert other.read_text() != "mine"


def test_images_of_one_stem_do_not_meet(tmp_path: Path) -> None:
    dataset = Dataset()
    for name in ("a.png", "a.jpg", "b.png"):
        dataset.add(png_bytes(np.zeros((HEIGHT, WIDTH), np.uint8)), clicked(drawn()), name=name)
    names = {path.name for path in dataset.save(tmp_path, "labelme")}
    assert {"a.png.json", "a.jpg.json", "b.json"} <= names
    dataset.save(tmp_path, "yolo")
    assert len(list(chain((tmp_path / "labels").iterdir(), (tmp_path / "images").iterdir()))) == 6


def test_what_a_format_cannot_hold_is_said(photo: Path, tmp_path: Path) -> None:
    dataset = Dataset([str(number) for number in range(255)])
    dataset.add(photo, clicked(drawn()), labels="one more")
    with pytest.raises(ValueError, match="254"):
        dataset.save(tmp_path / "out", "voc")
    with pytest.raises(ValueError, match="1 labels for 4 objects"):
        dataset.add(photo, clicked(drawn()), labels=["one"])
    with pytest.raises(ValueError, match="name"):
        dataset.add(photo.read_bytes(), clicked(drawn()))
