"""What the gateway's answers say, typed. Coordinates are (x, y) pixels of the pre image, origin top left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
Ring = tuple[Point, ...]
Picture = Literal["label_map", "overlay"]
"""What a report can bring along."""


@dataclass(frozen=True)
class Origin:
    """Where an answer comes from, by its headers.

    Attributes:
        model: name of the model.
        version: its version.
        digest: ``sha256:…`` of its file.
        request_id: what to quote to the operator.
        timing: milliseconds per stage (decode, queue, infer, finish, encode).
    """

    model: str
    version: int
    digest: str
    request_id: str
    timing: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class DamageMap:
    """A label map.

    Attributes:
        labels: uint8 (height, width): 0 background, 1 no damage, 2 minor, 3 major, 4 destroyed.
        palette: uint8 (colours, 3), RGB, indexed by label.
        png: the indexed PNG file as the gateway sent it.
        notices: what the gateway did to the input that the caller should know of.
        origin: model, request and timing.
    """

    labels: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    png: bytes
    notices: tuple[str, ...]
    origin: Origin


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
    """One building.

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
class DamageReport:
    """The buildings of a pair and their damage.

    Attributes:
        model: name of the model.
        width: of the label map, in pixels.
        height: of the label map, in pixels.
        classes: every class with its share, in the order of their values.
        regions: the buildings.
        notices: what the gateway did to the input that the caller should know of.
        provenance: weights, engine and input.
        pictures: PNG files by name, those that were asked for.
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

    def buildings(self) -> dict[str, int]:
        """Return the number of regions per class name, background left out."""
        names = [share.name for share in self.classes if share.value > 0]
        return {name: sum(region.name == name for region in self.regions) for name in names}


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
