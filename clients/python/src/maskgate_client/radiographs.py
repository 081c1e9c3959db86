"""What models make of chest radiographs, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

FilmPicture = Literal["saliency"]
"""What a report can bring along: the film with the evidence for a class drawn over it as heat."""


@dataclass(frozen=True)
class FilmProvenance:
    """Which weights, engine and film a verdict was made from; of an ensemble version and digest are None."""

    model: str
    version: int | None
    digest: str | None
    engine: str
    input_digest: str
    gateway: str


@dataclass(frozen=True)
class FilmVerdict:
    """What one model says of a film.

    Attributes:
        scores: probability of each class, from 0 to 1, in the order of the classes.
        label: the class decided for.
        threshold: from which probability of the first class on it is decided for.
        provenance: weights, engine and film.
    """

    scores: Mapping[str, float]
    label: str
    threshold: float
    provenance: FilmProvenance


@dataclass(frozen=True)
class FilmReport:
    """What is said of a film.

    Attributes:
        model: name of the model, or ``ensemble``.
        width: of the film, in pixels.
        height: of the film, in pixels.
        scores: probability of each class, from 0 to 1, in the order of the classes; of the ensemble their mean.
        label: the class decided for.
        threshold: from which probability of the first class on it is decided for.
        models: of the ensemble, what each of its models says.
        notices: that this is not a diagnosis, what was done to the film, and what to beware of.
        provenance: weights, engine and film.
        pictures: PNG files by name, those that were asked for.
        saliency_class: the class whose evidence they show.
        document: the JSON answer without its pictures.
    """

    model: str
    width: int
    height: int
    scores: Mapping[str, float]
    label: str
    threshold: float
    models: tuple[FilmVerdict, ...]
    notices: tuple[str, ...]
    provenance: FilmProvenance
    pictures: Mapping[FilmPicture, bytes]
    saliency_class: str | None
    document: Mapping[str, Any]
