"""What models make of chest radiographs, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from maskgate_client.answers import ScoreProvenance, ScoreReport

FilmPicture = Literal["saliency"]
"""What a report can bring along: the radiograph with the evidence for a class drawn over it as heat."""

FilmProvenance = ScoreProvenance


@dataclass(frozen=True)
class FilmVerdict:
    """What one model says of a radiograph.

    Attributes:
        scores: probability of each class, from 0 to 1, in the order of the classes.
        label: the class decided for.
        threshold: from which probability of the first class on it is decided for.
        provenance: weights, engine and radiograph.
    """

    scores: Mapping[str, float]
    label: str
    threshold: float
    provenance: FilmProvenance


@dataclass(frozen=True)
class FilmReport(ScoreReport):
    """What is said of a radiograph; the scores of an ensemble are the mean of its models'.

    Attributes:
        models: of the ensemble, what each of its models says.
        saliency_class: the class whose evidence the pictures show.
    """

    models: tuple[FilmVerdict, ...]
    saliency_class: str | None
