"""The HTTP contract of radiographs, without HTTP."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import httpx

from maskgate_client.images import ImageInput
from maskgate_client.protocol import Call, chosen, image_part, included
from maskgate_client.radiographs import FilmPicture, FilmProvenance, FilmReport, FilmVerdict


def report(
    image: ImageInput,
    model: str | None,
    version: int | None,
    threshold: float | None,
    include: Sequence[FilmPicture],
    saliency_class: str | None,
) -> Call[FilmReport]:
    """Ask for the class scores of a film, and for pictures of the evidence for a class in the same answer."""
    params = chosen(model, version, threshold) | included(include)
    if saliency_class is not None:
        params["saliency_class"] = saliency_class
    return Call("POST", "/v1/radiograph", "application/json", _read_report, params, image_part(image))


def _read_report(response: httpx.Response) -> FilmReport:
    document = response.json()
    pictures = document.pop("pictures", {})
    return FilmReport(
        model=document["model"],
        width=document["width"],
        height=document["height"],
        scores=document["scores"],
        label=document["label"],
        threshold=document["threshold"],
        models=tuple(_read_verdict(entry) for entry in document["models"]),
        notices=tuple(document["notices"]),
        provenance=_read_provenance(document["provenance"]),
        pictures={name: b64decode(data, validate=True) for name, data in pictures.items()},
        saliency_class=document["saliency_class"],
        document=document,
    )


def _read_verdict(entry: dict[str, Any]) -> FilmVerdict:
    return FilmVerdict(entry["scores"], entry["label"], entry["threshold"], _read_provenance(entry["provenance"]))


def _read_provenance(entry: dict[str, Any]) -> FilmProvenance:
    return FilmProvenance(**{key: entry[key] for key in FilmProvenance.__dataclass_fields__})
