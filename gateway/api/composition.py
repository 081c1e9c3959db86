"""Which model answers `POST /v1/damage`: one of the repository, or two of them fused."""

from __future__ import annotations

from typing import Any

from gateway.api.services import Job, Services
from gateway.engines.base import Model, choose
from gateway.errors import ModelUnsuitable, ParameterInvalid
from gateway.tasks.fused import BYTES_PER_PIXEL, CROP_TASK, FUSED, FusedModel, FusedSegmenter, fuse
from gateway.tasks.segmentation import Segmenter

_TASK = "damage"


def choose_damage(services: Services, name: str, version: int | None) -> Model:
    """Return the model that a request for damage names; `fused` names those of the settings.

    Raises:
        ModelUnsuitable: it grades single buildings and finds none.
        ParameterInvalid: a version of `fused` was asked for.
        MaskgateError: as `choose`.
    """
    if name == FUSED:
        if version is not None:
            raise ParameterInvalid(
                f"{FUSED} consists of two models and has no versions; the newest of both answer.", pointer="/version"
            )
        models = services.settings.models
        finder = choose(services.engine, _TASK, models.fused_finder)
        return fuse(finder, choose(services.engine, CROP_TASK, models.fused_grader))
    for status in services.engine.statuses():
        if status.name == name and status.model is not None and status.model.card.task == CROP_TASK:
            raise ModelUnsuitable(
                f"{name} grades one building on a crop and finds none; ask for model={FUSED}, in which "
                f"{services.settings.models.fused_finder} finds them.",
                pointer="/model",
            )
    return choose(services.engine, _TASK, name, version)


def segmenter_of(job: Job[Any], model: Model) -> Segmenter:
    """Return a model that `choose_damage` gave, ready to run for a request."""
    if not isinstance(model, FusedModel):
        return job.segmenter(model)
    services = job.services
    return FusedSegmenter(
        model,
        services.engine,
        services.workers,
        services.telemetry,
        job.timeline,
        finder=job.segmenter(model.finder),
        grader=job.segmenter(model.grader),
    )


def extra_bytes(model: Model) -> int:
    """Return what a model holds per pixel of the pre image beside what any model of damage does."""
    return BYTES_PER_PIXEL if isinstance(model, FusedModel) else 0
