"""The HTTP contract of radiographs, without HTTP, and its answers, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from maskgate_client.answers import ScoreProvenance, ScoreReport, read_fields, read_scores
from maskgate_client.call import JSON, Call, image_part, query
from maskgate_client.images import ImageInput

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
        distance: from the radiographs that it learnt from; beyond 1 the scores are not to be trusted. None: it cannot
            say.
    """

    scores: Mapping[str, float]
    label: str
    threshold: float
    provenance: FilmProvenance
    distance: float | None = None


@dataclass(frozen=True)
class FilmReport(ScoreReport):
    """What is said of a radiograph; the scores of an ensemble are the mean of its models'.

    Attributes:
        models: of the ensemble, what each of its models says.
        saliency_class: the class whose evidence the pictures show.
        distance: from the radiographs that were learnt from, the mean of the models'; see `FilmVerdict`.
    """

    models: tuple[FilmVerdict, ...]
    saliency_class: str | None
    distance: float | None = None


def radiograph(
    image: ImageInput,
    *,
    model: str | None = None,
    version: int | None = None,
    threshold: float | None = None,
    include: Sequence[FilmPicture] = (),
    saliency_class: str | None = None,
) -> Call[FilmReport]:
    """Return the class scores of a chest radiograph, PNG, JPEG or DICOM; it is not a diagnosis.

    From `threshold` on the first class is decided for; by default the model's own counts. The pictures to
    `include` show the evidence for `saliency_class`, by default the class decided for.
    """
    params = query(model=model, version=version, threshold=threshold, include=include, saliency_class=saliency_class)
    return Call("POST", "/v1/radiograph", JSON, _read_report, params, image_part("image", image))


def _read_report(response: httpx.Response) -> FilmReport:
    document = response.json()
    verdicts = tuple(_read_verdict(entry) for entry in document["models"])
    return FilmReport(
        **read_scores(document),
        models=verdicts,
        saliency_class=document["saliency_class"],
        distance=document.get("distance"),
    )


def _read_verdict(entry: Mapping[str, Any]) -> FilmVerdict:
    provenance = read_fields(ScoreProvenance, entry["provenance"])
    return FilmVerdict(entry["scores"], entry["label"], entry["threshold"], provenance, entry.get("distance"))
