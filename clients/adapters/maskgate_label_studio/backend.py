"""What Label Studio asks of a machine learning backend, answered by a Maskgate gateway. No HTTP of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from maskgate_client import Client, ObjectMask, Prompt

from maskgate_label_studio.brush import decode, encode

Document = Mapping[str, Any]
Region = dict[str, Any]

_TAG = re.compile(r"<(\w+)\b((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_SIMPLIFY = 1.0
"""Pixels by which polygons may be off: Label Studio draws a handle at each corner."""


@dataclass(frozen=True)
class Labelling:
    """A labelling configuration, as far as it matters here.

    Attributes:
        image: name of the image tag.
        value: key of the image's address in a task's data.
        output: name and kind ("brushlabels" or "polygonlabels") of the tag that takes masks.
        labels: of that tag.
    """

    image: str
    value: str
    output: tuple[str, str]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, config: str) -> Labelling:
        """Return the configuration of a project.

        Raises:
            ValueError: it has no image, or nothing that takes masks.
        """
        image = value = output = None
        labels: list[str] = []
        inside = False
        for name, rest in _TAG.findall(config):
            attributes = {key: first or second for key, first, second in _ATTRIBUTE.findall(rest)}
            kind = name.lower()
            if kind == "image" and image is None:
                image, value = attributes["name"], attributes["value"].removeprefix("$")
            elif kind.endswith("labels"):
                inside = kind in ("brushlabels", "polygonlabels") and output is None
                if inside:
                    output = (attributes["name"], kind)
            elif kind == "label" and inside:
                labels.append(attributes["value"])
        if image is None or value is None or output is None:
            raise ValueError("the labelling configuration has no Image, or no BrushLabels or PolygonLabels")
        return cls(image, value, output, tuple(labels))


@dataclass(frozen=True)
class Backend:
    """Answers Label Studio.

    Attributes:
        client: of the gateway.
        fetch: returns the file of an image by its address in a task.
        model: the gateway's model for clicks; None: its default.
    """

    client: Client
    fetch: Callable[[str], bytes]
    model: str | None = None

    def setup(self, body: Document) -> Document:
        """Return which version answers, to be shown in the project."""
        return {"model_version": f"maskgate {self.model or 'default'}"}

    def predict(self, body: Document) -> Document:
        """Return the regions of tasks: of what was drawn in `params.context`, or else of all waste that is found.

        Raises:
            ValueError: the labelling configuration takes no masks, or the context is none.
            MaskgateError: the gateway refuses.
        """
        labelling = Labelling.read(body["label_config"])
        context = (body.get("params") or {}).get("context") or {}
        return {"results": [self._task(task, labelling, context.get("result") or []) for task in body["tasks"]]}

    def _task(self, task: Document, labelling: Labelling, drawn: Sequence[Document]) -> Document:
        image = self.fetch(task["data"][labelling.value])
        version = self.setup({})["model_version"]
        regions = self._clicked(image, labelling, drawn) if drawn else self._waste(image, labelling)
        scores = [region["score"] for region in regions if region["score"] is not None]
        return {"result": regions, "score": min(scores, default=0.0), "model_version": version}

    def _clicked(self, image: bytes, labelling: Labelling, drawn: Sequence[Document]) -> list[Region]:
        prompt, label = prompt_of(drawn)
        report = self.client.segment(image, prompt, model=self.model, simplify=_SIMPLIFY)
        size = (report.width, report.height)
        return [region for found in report.objects for region in _regions(found, label, labelling, size)]

    def _waste(self, image: bytes, labelling: Labelling) -> list[Region]:
        if labelling.output[1] != "polygonlabels":
            return []
        report = self.client.waste(image)
        size = (report.width, report.height)
        return [
            _polygon(region.polygon, region.name, region.confidence, labelling, size)
            for region in report.regions
            if region.name in labelling.labels and len(region.polygon) > 2
        ]


def prompt_of(drawn: Sequence[Document]) -> tuple[Prompt, str]:
    """Return what was drawn, in pixels, and the label that it was drawn with; Label Studio has percent.

    Raises:
        ValueError: it is no click, rectangle or brush.
    """
    positive: list[tuple[float, float]] = []
    negative: list[tuple[float, float]] = []
    box, mask, label = None, None, ""
    for region in drawn:
        value, kind = region["value"], region["type"]
        width, height = region["original_width"], region["original_height"]
        label = next(iter(value.get(kind, ())), label)
        x, y = (value.get(key, 0) * side / 100 for key, side in (("x", width), ("y", height)))
        if kind.startswith("keypoint"):
            # The middle of the pixel that was clicked is its place.
            click = (max(0.0, x - 0.5), max(0.0, y - 0.5))
            (positive if region.get("is_positive", True) else negative).append(click)
        elif kind.startswith("rectangle"):
            box = (x, y, x + value["width"] * width / 100, y + value["height"] * height / 100)
        elif kind.startswith("brush"):
            mask = decode(value["rle"], height, width)
        else:
            raise ValueError(f"a {kind} shows no object")
    return Prompt(box=box, positive=positive, negative=negative, mask=mask), label


def _regions(found: ObjectMask, label: str, labelling: Labelling, size: tuple[int, int]) -> Iterator[Region]:
    """Yield an object as the configuration takes it: one brush, or a polygon per part."""
    if found.box is None:
        return
    if labelling.output[1] == "brushlabels":
        value = {"format": "rle", "rle": encode(found.mask), "brushlabels": [label]}
        yield _region(value, found.score, labelling, size)
        return
    for part in found.parts:
        yield _polygon(part.polygon, label, found.score, labelling, size)


def _polygon(
    ring: Sequence[Sequence[float]], label: str, score: float | None, labelling: Labelling, size: tuple[int, int]
) -> Region:
    width, height = size
    points = [[100 * x / width, 100 * y / height] for x, y in ring]
    return _region({"points": points, "closed": True, "polygonlabels": [label]}, score, labelling, size)


def _region(value: dict[str, Any], score: float | None, labelling: Labelling, size: tuple[int, int]) -> Region:
    name, kind = labelling.output
    return {
        "id": uuid4().hex[:10],
        "from_name": name,
        "to_name": labelling.image,
        "type": kind,
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "score": score,
        "value": value,
    }
