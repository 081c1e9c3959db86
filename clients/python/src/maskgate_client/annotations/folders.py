"""Annotations as folders of pictures and their labels: YOLO and Pascal VOC."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from maskgate_client.annotations.objects import AnnotatedImage

_MOST = 254
"""Values of a VOC picture: 0 is the ground, 255 what counts for nothing."""

Ring = NDArray[np.float64]
"""Float64, (N, 2): x and y of corners, not closed."""


def yolo_labels(image: AnnotatedImage, names: Sequence[str]) -> bytes:
    """Return the label file of an image: a line per object, its class and its outline as shares of width and height.

    A line holds one ring. Further parts and holes are joined to it by lines of no width, as Ultralytics' own converter
    joins parts: what is filled by the rule of even and odd is the object, holes left out.
    """
    size = np.array([image.width, image.height])
    lines = []
    for each in image.annotations:
        ring = np.clip(joined([rings for part in each.parts for rings in part]) / size, 0, 1)
        lines.append(" ".join([str(names.index(each.label)), *(f"{value:.6f}" for value in ring.ravel())]))
    return "".join(f"{line}\n" for line in lines).encode()


def yolo_dataset(names: Sequence[str]) -> bytes:
    """Return `data.yaml`, by which Ultralytics finds images and labels."""
    lines = ["# Nobody has split these images: both name all of them.", "train: images", "val: images", "names:"]
    # A string of JSON is one of YAML.
    lines += [f"  {number}: {json.dumps(name)}" for number, name in enumerate(names)]
    return "".join(f"{line}\n" for line in lines).encode()


def joined(rings: Sequence[Sequence[tuple[float, float]]]) -> Ring:
    """Return rings as one, each joined to those before it where they come closest, there and back on one line."""
    whole, *others = (np.array(ring, np.float64) for ring in rings)
    for ring in others:
        gaps = [((whole - corner) ** 2).sum(axis=1) for corner in ring]
        nearest = int(np.argmin([gap.min() for gap in gaps]))
        place = int(gaps[nearest].argmin())
        turned = np.roll(ring, -nearest, axis=0)
        whole = np.concatenate([whole[: place + 1], turned, turned[:1], whole[place:]])
    return whole


def voc_picture(image: AnnotatedImage, values: Sequence[int]) -> bytes:
    """Return an indexed PNG in VOC's colours, each object of its value.

    Raises:
        ValueError: a value is over 254.
    """
    from PIL import Image

    if max(values, default=0) > _MOST:
        raise ValueError(f"{image.name}: a VOC picture tells {_MOST} classes or objects apart, not {max(values)}")
    picture = Image.fromarray(image.painted(values))
    picture.putpalette([channel for value in range(256) for channel in voc_colour(value)])
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def voc_colour(value: int) -> tuple[int, int, int]:
    """Return the colour of a value: its bits, the lowest first, are the highest of red, green and blue by turns."""
    channels = [sum((value >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8)) for channel in range(3)]
    return channels[0], channels[1], channels[2]


def voc_classes(names: Sequence[str]) -> bytes:
    """Return `labelmap.txt`, which says what the values are: CVAT and Datumaro read it."""
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [f"{name}:{','.join(map(str, voc_colour(value)))}::" for value, name in enumerate(names, start=1)]
    return "".join(f"{line}\n" for line in lines).encode()


def voc_boxes(image: AnnotatedImage, stem: str) -> bytes:
    """Return the XML of an image's boxes, whose pixels VOC counts from 1, the last one included."""
    root = Xml.Element("annotation")
    for tag, text in (("folder", "VOC"), ("filename", f"{stem}.jpg"), ("segmented", "1")):
        Xml.SubElement(root, tag).text = text
    _tags(Xml.SubElement(root, "size"), {"width": image.width, "height": image.height, "depth": 3})
    for each in image.annotations:
        found = Xml.SubElement(root, "object")
        _tags(found, {"name": each.label, "pose": "Unspecified", "truncated": 0, "difficult": 0})
        x0, y0, x1, y1 = each.box
        _tags(Xml.SubElement(found, "bndbox"), {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1})
    Xml.indent(root)
    return f"{Xml.tostring(root, encoding='unicode')}\n".encode()


def _tags(parent: Xml.Element, values: Mapping[str, object]) -> None:
    for tag, value in values.items():
        Xml.SubElement(parent, tag).text = str(value)
