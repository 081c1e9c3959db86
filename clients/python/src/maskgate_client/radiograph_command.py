"""Send one radiograph, save the picture that is asked for, and say how the models score it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from maskgate_client.batch import align
from maskgate_client.client import Client
from maskgate_client.radiographs import FilmReport


def run_radiograph(
    client: Client,
    image: Path,
    *,
    model: str | None,
    version: int | None,
    threshold: float | None,
    saliency: Path | None,
    saliency_class: str | None,
) -> FilmReport:
    """Send a film, and save the picture of the evidence for a class as `saliency` where that is given.

    Raises:
        MaskgateError, OSError: as `Client.radiograph`, or the file cannot be written.
    """
    report = client.radiograph(
        image,
        model=model,
        version=version,
        threshold=threshold,
        include=("saliency",) if saliency else (),
        saliency_class=saliency_class,
    )
    if saliency:
        saliency.parent.mkdir(parents=True, exist_ok=True)
        saliency.write_bytes(report.pictures["saliency"])
    return report


def table(report: FilmReport) -> str:
    """Return the scores and the label by model as aligned text, those of the ensemble last."""
    rows = [["model", *report.scores, "label"]]
    rows += [_row(entry.provenance.model, entry.scores, entry.label) for entry in report.models]
    return align([*rows, _row(report.model, report.scores, report.label)])


def _row(name: str, scores: Mapping[str, float], label: str) -> list[str]:
    return [name, *(f"{score:.4f}" for score in scores.values()), label]
