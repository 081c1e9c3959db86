"""The JSON answer of `POST /v1/radiograph`, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from gateway import __version__
from gateway.engines.base import Engine
from gateway.http.answers import Provenance, provenance
from gateway.http.request_path import model_headers
from gateway.repository.card import ClassSpec
from gateway.tasks.radiograph.pipeline import ENSEMBLE, FilmReport, Panel, Verdict

_DIGITS = 6


class VerdictAnswer(BaseModel):
    """Class scores, and what they were decided to mean."""

    scores: dict[str, float] = Field(
        description="Probability of each class, 0 to 1", examples=[{"COVID-19": 0.0721, "NORMAL": 0.9279}]
    )
    label: str = Field(description="The class decided for", examples=["NORMAL"])
    threshold: float = Field(
        description="From which probability of the first class on it is decided for", examples=[0.5]
    )
    distance: float | None = Field(
        description="Of the film from those that were learnt from; beyond 1 it is unlike them, and the scores are not "
        "to be trusted. null: no model can say",
        examples=[0.62],
    )


class ModelVerdict(VerdictAnswer):
    """What one model of the ensemble says, decided at its own threshold unless the request names one."""

    provenance: Provenance


class RadiographAnswer(VerdictAnswer):
    """Class scores of a chest radiograph."""

    model: str = Field(examples=[ENSEMBLE])
    width: int = Field(description="Of the film, in pixels", examples=[2048])
    height: int = Field(description="Of the film, in pixels", examples=[2500])
    models: list[ModelVerdict] = Field(default=[], description="Of the ensemble: what each of its models says")
    notices: list[str] = Field(description="What was done to the film, and what to beware of")
    provenance: Provenance
    pictures: dict[str, str] = Field(
        default={}, description="What `include` asked for: base64 PNG by name", examples=[{}]
    )
    saliency_class: str | None = Field(
        default=None, description="The class whose evidence `pictures` shows", examples=["NORMAL"]
    )


def radiograph_answer(
    report: FilmReport,
    size: tuple[int, int],
    notices: Sequence[str],
    engine: Engine,
    input_digest: str,
    pictures: Mapping[str, str],
    shown: int | None,
) -> RadiographAnswer:
    """Return a report as JSON shows it.

    Args:
        report: what was found.
        size: (width, height) of the film.
        notices: for the caller.
        engine: on which it was found.
        input_digest: of the film as it was sent, ``sha256:…``.
        pictures: base64 PNG by name.
        shown: value of the class whose evidence they show; None: of none.
    """
    panel, (width, height) = report.panel, size
    classes = panel.classes
    each = [
        ModelVerdict(
            **_verdict(opinion.verdict, opinion.distance, classes),
            provenance=provenance(opinion.model, engine, input_digest),
        )
        for opinion in report.opinions
    ]
    return RadiographAnswer(
        **_verdict(report.verdict, report.distance, classes),
        model=panel.name,
        width=width,
        height=height,
        models=each if panel.name == ENSEMBLE else [],
        notices=list(notices),
        provenance=_ensemble(engine, input_digest) if panel.name == ENSEMBLE else each[0].provenance,
        pictures=dict(pictures),
        saliency_class=None if shown is None else classes[shown].name,
    )


def panel_headers(panel: Panel) -> dict[str, str]:
    """Return the headers that say which model answered, or which ones."""
    if panel.name != ENSEMBLE:
        return model_headers(panel.models[0])
    members = ", ".join(f"{model.name} {model.version} {model.digest}" for model in panel.models)
    return {"Maskgate-Model": ENSEMBLE, "Maskgate-Ensemble": members}


def _verdict(verdict: Verdict, distance: float | None, classes: Sequence[ClassSpec]) -> dict[str, object]:
    scores = verdict.scores.tolist()
    return {
        "scores": {spec.name: round(score, _DIGITS) for spec, score in zip(classes, scores, strict=True)},
        "label": classes[verdict.value].name,
        "threshold": verdict.threshold,
        "distance": None if distance is None else round(distance, _DIGITS),
    }


def _ensemble(engine: Engine, input_digest: str) -> Provenance:
    """Return where the answer of an ensemble came from; its models say the rest."""
    return Provenance(
        model=ENSEMBLE,
        version=None,
        digest=None,
        engine=engine.name,
        input_digest=input_digest,
        gateway=__version__,
    )
