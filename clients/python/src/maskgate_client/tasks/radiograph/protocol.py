"""The HTTP contract of radiographs, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from maskgate_client.answers import ScoreProvenance, read_fields, read_scores
from maskgate_client.call import JSON, Call, image_part, query
from maskgate_client.images import ImageInput
from maskgate_client.tasks.radiograph.answers import FilmPicture, FilmReport, FilmVerdict


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
    return FilmReport(**read_scores(document), models=verdicts, saliency_class=document["saliency_class"])


def _read_verdict(entry: Mapping[str, Any]) -> FilmVerdict:
    provenance = read_fields(ScoreProvenance, entry["provenance"])
    return FilmVerdict(entry["scores"], entry["label"], entry["threshold"], provenance)
