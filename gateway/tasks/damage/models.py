"""Which model answers `POST /v1/damage`: one of the repository, or two of them fused."""

from __future__ import annotations

from gateway.engines.base import Model, choose
from gateway.errors import ModelUnsuitable, ParameterInvalid
from gateway.http.request_path import Services
from gateway.tasks.damage.fused import CROP_TASK, FUSED, fuse

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
