"""Many images and what was found in them, as one set of annotations."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from maskgate_client.annotations.documents import coco, labelme, seen_from
from maskgate_client.annotations.folders import (
    voc_boxes,
    voc_classes,
    voc_picture,
    yolo_dataset,
    yolo_labels,
)
from maskgate_client.annotations.maps import geojson, georeference
from maskgate_client.annotations.objects import AnnotatedImage, annotations_of
from maskgate_client.answers import LabelMapReport
from maskgate_client.images import ImageInput, media_type
from maskgate_client.tasks.interactive.answers import MaskReport

Format = Literal["coco", "coco-rle", "yolo", "voc", "labelme", "geojson"]
"""COCO with polygons or with run lengths alone; the segmentation format of YOLO; Pascal VOC; LabelMe; GeoJSON."""

FORMATS: tuple[Format, ...] = get_args(Format)
_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/tiff": ".tif"}

Files = Iterator[tuple[str, Callable[[], bytes]]]


class Dataset:
    """Images and their objects, to be saved in the formats of annotations.

    Args:
        categories: names of categories: by COCO's number, or in their order; others are added as they come.
    """

    def __init__(self, categories: Mapping[int, str] | Sequence[str] = ()) -> None:
        """Begin without images."""
        named = categories if isinstance(categories, Mapping) else dict(enumerate(categories, start=1))
        self.categories: dict[int, str] = dict(named)
        self.images: list[AnnotatedImage] = []

    def add(
        self,
        image: ImageInput,
        report: MaskReport | LabelMapReport,
        *,
        labels: str | Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        """Add an image and what a gateway found in it.

        Args:
            image: what was sent. Of a path the file is read again where a format holds the images too.
            report: the answer. Outlines of a label map's regions are to a pixel, and so are their masks; with
                `include=["label_map"]` these hold no pixel of another class.
            labels: category of the objects by clicks, or one for each; "object" by default.
            name: what the image is called; that of its file by default.

        Raises:
            ValueError: there are not as many labels as objects, or an image that is no file has no name.
        """
        called = name or (Path(image).name if isinstance(image, str | PathLike) else "")
        if not called:
            raise ValueError("an image that is no file has a name")
        self.append(AnnotatedImage(called, image, report.width, report.height, annotations_of(report, labels)))

    def append(self, image: AnnotatedImage) -> None:
        """Add an image that has its annotations."""
        self.images.append(image)
        for each in image.annotations:
            if each.label not in self.categories.values():
                self.categories[max(self.categories, default=0) + 1] = each.label

    def targets(self, folder: Path, kind: Format, *, force: bool = False) -> list[Path]:
        """Return the files that `save` writes.

        Raises:
            FileExistsError: one is there, and is not to be replaced.
        """
        paths = [folder / name for name, _ in self._files(folder, kind, None)]
        for path in paths:
            if path.exists() and not force:
                raise FileExistsError(errno.EEXIST, "is there already; --force replaces it", str(path))
        return paths

    def save(
        self, folder: str | PathLike[str], kind: Format, *, force: bool = False, crs: str | None = None
    ) -> tuple[Path, ...]:
        """Write the annotations in a format, and return the files.

        Args:
            folder: where they are to lie; it is made where it is not there.
            kind: the format.
            force: replace files that are there.
            crs: of GeoJSON: the coordinate reference system of images that do not name it.

        Raises:
            FileExistsError: a file is there already; nothing was written.
            OSError: one cannot be read or written.
            NotGeoreferencedError: GeoJSON is asked for and nothing says where an image lies.
            ImportError: GeoJSON is asked for without pyproj, which ``maskgate-client[geo]`` brings.
            ValueError: the format cannot hold so many classes or objects.
        """
        targets = self.targets(Path(folder), kind, force=force)
        for path, (_, content) in zip(targets, self._files(Path(folder), kind, crs), strict=True):
            data = content()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tuple(targets)

    def _files(self, folder: Path, kind: Format, crs: str | None) -> Files:
        """Yield name and content of each file; contents are made one after the other, when they are asked for."""
        names = list(self.categories.values())
        if kind in ("coco", "coco-rle"):
            yield "annotations.json", partial(coco, self.images, self.categories, rle=kind == "coco-rle")
            return
        if kind == "yolo":
            yield "data.yaml", partial(yolo_dataset, names)
        if kind == "voc":
            stems = self._stems()
            yield "labelmap.txt", partial(voc_classes, names)
            yield "ImageSets/Segmentation/trainval.txt", lambda: "".join(f"{stem}\n" for stem in stems).encode()
        for stem, image in zip(self._stems(), self.images, strict=True):
            yield from _files_of(image, stem, folder, kind, names, crs)

    def _stems(self) -> list[str]:
        """Return what the files of each image begin with; two of one stem are told apart by their endings."""
        stems = Counter(Path(image.name).stem for image in self.images)
        names = (Path(image.name) for image in self.images)
        return [path.stem if stems[path.stem] == 1 else path.name for path in names]


def _files_of(
    image: AnnotatedImage, stem: str, folder: Path, kind: Format, names: Sequence[str], crs: str | None
) -> Files:
    if kind == "yolo":
        yield f"images/{stem}{_ending(image)}", lambda: image.content
        yield f"labels/{stem}.txt", partial(yolo_labels, image, names)
    if kind == "voc":
        classes = [names.index(each.label) + 1 for each in image.annotations]
        yield f"JPEGImages/{stem}.jpg", image.upright_jpeg
        yield f"SegmentationClass/{stem}.png", partial(voc_picture, image, classes)
        yield f"SegmentationObject/{stem}.png", partial(voc_picture, image, range(1, len(classes) + 1))
        yield f"Annotations/{stem}.xml", partial(voc_boxes, image, stem)
    if kind == "labelme":
        if image.path is None:
            yield f"{stem}{_ending(image)}", lambda: image.content
        stored = seen_from(folder, image.path) if image.path else Path(f"{stem}{_ending(image)}")
        yield f"{stem}.json", partial(labelme, image, stored)
    if kind == "geojson":
        yield f"{stem}.geojson", lambda: geojson(image, georeference(image.path or Path(image.name), crs))


def _ending(image: AnnotatedImage) -> str:
    if image.path is not None:
        return image.path.suffix
    return _ENDINGS.get(media_type(image.content), "")
