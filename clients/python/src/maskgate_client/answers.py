"""What answers of several tasks have in common, typed, and how their JSON reads.

Coordinates are (x, y) pixels of the upright image, origin top left.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, cast

T = TypeVar("T")

Point = tuple[int, int]
Ring = tuple[Point, ...]
Picture = Literal["label_map", "overlay"]
"""What a report on a label map can bring along."""


@dataclass(frozen=True)
class ClassShare:
    """How much of the picture is of one class; `share` from 0 to 1, `colour` sRGB."""

    value: int
    name: str
    colour: tuple[int, int, int]
    pixels: int
    share: float


@dataclass(frozen=True)
class Region:
    """One connected piece of one class, such as a building.

    Attributes:
        polygon: its outline.
        holes: outlines of its courtyards.
        value: its class as in the label map.
        name: name of the class.
        area: pixels.
        confidence: from 0 to 1; None where the model gives no probabilities.
        box: (x0, y0, x1, y1) around it, x1 and y1 outside it.
    """

    polygon: Ring
    holes: tuple[Ring, ...]
    value: int
    name: str
    area: int
    confidence: float | None
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Provenance:
    """Which weights, engine and input an answer was made from."""

    model: str
    version: int
    digest: str
    engine: str
    input_digest: str
    gateway: str


@dataclass(frozen=True)
class ScoreProvenance:
    """Which weights, engine and input scores were made from; of an ensemble version and digest are None."""

    model: str
    version: int | None
    digest: str | None
    engine: str
    input_digest: str
    gateway: str


@dataclass(frozen=True)
class LabelMapReport:
    """What a label map shows, in numbers.

    Attributes:
        model: name of the model.
        width: of the label map, in pixels.
        height: of the label map, in pixels.
        classes: every class with its share, in the order of their values; 0 is background.
        regions: connected pieces of one class each, in reading order; empty where the task lists none.
        notices: what the gateway did to the input, and what to beware of.
        provenance: weights, engine and input.
        pictures: files by name, those that were asked for: PNG, but where a task says otherwise.
        document: the JSON answer without its pictures.
    """

    model: str
    width: int
    height: int
    classes: tuple[ClassShare, ...]
    regions: tuple[Region, ...]
    notices: tuple[str, ...]
    provenance: Provenance
    pictures: Mapping[str, bytes]
    document: Mapping[str, Any]

    def counts(self) -> dict[str, int]:
        """Return the number of regions per class name, background left out."""
        names = [share.name for share in self.classes if share.value > 0]
        return {name: sum(region.name == name for region in self.regions) for name in names}


@dataclass(frozen=True)
class ScoreReport:
    """What a model says of an image as a whole.

    Attributes:
        model: name of the model, or ``ensemble``.
        width: of the image, in pixels.
        height: of the image, in pixels.
        scores: probability of each class, from 0 to 1, in the order of the classes.
        label: the class decided for.
        threshold: from which probability of the first class on it is decided for.
        notices: what the gateway did to the image, and what to beware of.
        provenance: weights, engine and input.
        pictures: PNG files by name, those that were asked for.
        document: the JSON answer without its pictures.
    """

    model: str
    width: int
    height: int
    scores: Mapping[str, float]
    label: str
    threshold: float
    notices: tuple[str, ...]
    provenance: ScoreProvenance
    pictures: Mapping[str, bytes]
    document: Mapping[str, Any]


@dataclass(frozen=True)
class ModelStatus:
    """One model the gateway knows.

    Attributes:
        name: its name.
        state: ``ready``, or what it is instead.
        reason: why it is not ready; empty where it is.
        task: what it is for; None where its card cannot be read, as are `version` and `digest`.
        version: its version.
        digest: ``sha256:…`` of its file.
    """

    name: str
    state: str
    reason: str
    task: str | None
    version: int | None
    digest: str | None


@dataclass(frozen=True)
class ModelCard:
    """A model with its card: classes, training data, measured quality, licence, limits; None where it is broken."""

    status: ModelStatus
    card: Mapping[str, Any] | None


def read_label_map(document: dict[str, Any]) -> dict[str, Any]:
    """Read the attributes of a `LabelMapReport`; `document` loses its pictures and files."""
    return {
        "model": document["model"],
        "width": document["width"],
        "height": document["height"],
        "classes": tuple(read_class(entry) for entry in document["classes"]),
        "regions": tuple(read_region(entry) for entry in document.get("regions", ())),
        "notices": tuple(document["notices"]),
        "provenance": read_fields(Provenance, document["provenance"]),
        "pictures": take_files(document, "pictures") | take_files(document, "files"),
        "document": document,
    }


def read_scores(document: dict[str, Any]) -> dict[str, Any]:
    """Read the attributes of a `ScoreReport`; `document` loses its pictures."""
    return {
        **{key: document[key] for key in ("model", "width", "height", "scores", "label", "threshold")},
        "notices": tuple(document["notices"]),
        "provenance": read_fields(ScoreProvenance, document["provenance"]),
        "pictures": take_files(document, "pictures"),
        "document": document,
    }


def read_class(entry: Mapping[str, Any]) -> ClassShare:
    """Read one of `classes`."""
    red, green, blue = entry["colour"]
    return ClassShare(entry["value"], entry["name"], (red, green, blue), entry["pixels"], entry["share"])


def read_region(entry: Mapping[str, Any]) -> Region:
    """Read one of `regions`."""
    x0, y0, x1, y1 = entry["box"]
    return Region(
        polygon=read_ring(entry["polygon"]),
        holes=tuple(read_ring(hole) for hole in entry["holes"]),
        value=entry["class"],
        name=entry["name"],
        area=entry["area"],
        confidence=entry["confidence"],
        box=(x0, y0, x1, y1),
    )


def read_ring(points: list[list[int]]) -> Ring:
    """Read a list of [x, y]."""
    return tuple((x, y) for x, y in points)


def read_fields(kind: type[T], entry: Mapping[str, Any]) -> T:
    """Return a dataclass whose fields have the names of the entry's members; other members are left out."""
    return kind(**{field.name: entry[field.name] for field in fields(cast("Any", kind))})


def take_files(document: dict[str, Any], member: str) -> dict[str, bytes]:
    """Take the files, coded in base64, out of a JSON answer: name → content."""
    return {name: b64decode(data, validate=True) for name, data in document.pop(member, {}).items()}
