"""Objects of images as every format of annotations needs them, from what a gateway answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgate_client.answers import LabelMapReport, Region
from maskgate_client.images import ImageInput, image_bytes
from maskgate_client.tasks.interactive.answers import MaskReport, RunLengths

Rings = tuple[tuple[tuple[float, float], ...], ...]
"""The outline of a part, and those of its holes: (x, y) along the edges of pixels, not closed."""

_UPRIGHT, _ORIENTATION = 1, 0x0112
_QUALITY = 95


@dataclass(frozen=True)
class Annotation:
    """One object.

    Attributes:
        label: name of its category.
        parts: its outlines; a pixel (x, y) is the square from (x, y) to (x + 1, y + 1).
        rle: its mask.
        box: (x0, y0, x1, y1) around it, x1 and y1 outside it.
        area: pixels.
        score: how sure it is, 0 to 1; None where nobody says.
    """

    label: str
    parts: tuple[Rings, ...]
    rle: RunLengths
    box: tuple[int, int, int, int]
    area: int
    score: float | None

    @property
    def holed(self) -> bool:
        """Whether a part of it has a hole."""
        return any(len(rings) > 1 for rings in self.parts)


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its objects.

    Attributes:
        name: its file name, as the caller has it.
        image: the image itself.
        width: of the upright image, in pixels; 0 before it was looked at, as `height`.
        height: of the upright image, in pixels.
        annotations: its objects, later ones on top.
    """

    name: str
    image: ImageInput
    width: int = 0
    height: int = 0
    annotations: tuple[Annotation, ...] = ()

    @property
    def path(self) -> Path | None:
        """Where it lies; None where it is no file."""
        return Path(self.image) if isinstance(self.image, str | PathLike) else None

    @cached_property
    def content(self) -> bytes:
        """The image as a file."""
        return image_bytes(self.image)

    def upright_jpeg(self) -> bytes:
        """Return the image as JPEG whose pixels lie as masks do: itself, where it is one."""
        from PIL import Image, ImageOps

        with Image.open(BytesIO(self.content)) as image:
            if image.format == "JPEG" and image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT:
                return self.content
            buffer = BytesIO()
            ImageOps.exif_transpose(image).convert("RGB").save(buffer, "JPEG", quality=_QUALITY)
        return buffer.getvalue()

    def painted(self, values: Sequence[int]) -> NDArray[np.uint8]:
        """Return uint8 (height, width): 0, and in each object's pixels its value, later objects on top."""
        picture = np.zeros((self.height, self.width), np.uint8)
        for value, each in zip(values, self.annotations, strict=True):
            picture[each.rle.pixels()] = value
        return picture


def annotations_of(report: MaskReport | LabelMapReport, labels: str | Sequence[str] | None) -> tuple[Annotation, ...]:
    """Return the objects that a report tells of.

    Args:
        report: objects by clicks, of which those are left out that were not found; or regions of a label map, whose
            masks hold no pixel of another class where the report has brought the map along.
        labels: category of all objects by clicks, or of each; regions are of their own class.

    Raises:
        ValueError: there is not a label for each object of the report.
    """
    if isinstance(report, LabelMapReport):
        return tuple(_regions(report))
    each = [labels or "object"] * len(report.objects) if labels is None or isinstance(labels, str) else labels
    if len(each) != len(report.objects):
        raise ValueError(f"{len(each)} labels for {len(report.objects)} objects")
    return tuple(
        Annotation(
            label,
            tuple((part.polygon, *part.holes) for part in found.parts),
            found.rle,
            found.box,
            found.area,
            found.score,
        )
        for label, found in zip(each, report.objects, strict=True)
        if found.box is not None
    )


def _regions(report: LabelMapReport) -> Iterator[Annotation]:
    from PIL import Image

    picture = report.pictures.get("label_map")
    labels = np.asarray(Image.open(BytesIO(picture))) if picture else None
    for region in report.regions:
        mask = _filled(region, report.height, report.width)
        if labels is not None:
            mask &= labels == region.value
        yield Annotation(
            region.name, (_edged(region),), RunLengths.of(mask), region.box, region.area, region.confidence
        )


def _filled(region: Region, height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels that a region's outlines, through the centres of its border pixels, enclose."""
    from PIL import Image, ImageDraw

    x0, y0, x1, y1 = region.box
    part = Image.new("1", (x1 - x0, y1 - y0))
    pen = ImageDraw.Draw(part)
    for ring, inside in [(region.polygon, 1), *((hole, 0) for hole in region.holes)]:
        corners = [(x - x0, y - y0) for x, y in ring]
        if len(corners) > 2:
            pen.polygon(corners, fill=inside)
        # A hole's outline is the region's own too.
        pen.line([*corners, corners[0]], fill=1)
    mask = np.zeros((height, width), np.bool_)
    mask[y0:y1, x0:x1] = np.asarray(part, np.bool_)
    return mask


def _edged(region: Region) -> Rings:
    """Return a region's outlines where the centre of the pixel (x, y) is (x + ½, y + ½); its box where it is a line."""
    if len(region.polygon) < 3:
        x0, y0, x1, y1 = region.box
        return (((x0, y0), (x1, y0), (x1, y1), (x0, y1)),)
    rings = (region.polygon, *(hole for hole in region.holes if len(hole) > 2))
    return tuple(tuple((x + 0.5, y + 0.5) for x, y in ring) for ring in rings)
