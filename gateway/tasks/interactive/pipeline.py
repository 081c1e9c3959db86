"""Interactive segmentation: which selectors there are, and which answers a request."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.engines.base import Engine, Model, choose, role_of
from gateway.errors import ModelNotFound, ModelNotReady, ParameterInvalid
from gateway.repository.card import TensorSpec
from gateway.tasks.interactive.classical import TOOLS
from gateway.tasks.interactive.networks import ClickModel
from gateway.tasks.interactive.selectors import Selector
from gateway.tasks.interactive.spec import ENCODER_TASK, TASK


def choose_selector(engine: Engine, name: str, version: int | None = None) -> Selector:
    """Return the selector `name`: a tool, or else a model of the repository, in the version given or the newest.

    Of the versions that are ready, one whose encoder is not is passed over, unless it is the one asked for.

    Raises:
        ModelNotFound: there is neither.
        VersionNotFound: the model has no such version.
        ParameterInvalid: a version of a tool is asked for; there are none.
        ModelNotReady: the model or its encoder is loading, failed to load, or the two do not fit.
    """
    if name in TOOLS:
        if version is not None:
            raise ParameterInvalid(f"{name} is no model of the repository and has no versions.", pointer="/version")
        return TOOLS[name]
    try:
        newest = choose(engine, TASK.name, name, version)
    except ModelNotFound as error:
        raise ModelNotFound(f"{error.detail} Besides there are {', '.join(TOOLS)}.", pointer="/model") from error
    trouble = None
    for model in (newest,) if version is not None else _ready(engine, name):
        try:
            return _click_model(engine, model)
        except ModelNotReady as error:
            trouble = trouble or error
    raise trouble or ModelNotReady(f"Model {name} went away.", retry_after=5)


def _ready(engine: Engine, name: str) -> list[Model]:
    """Return the versions of a model that are ready, the newest first."""
    versions = next((s.versions for s in engine.statuses() if s.name == name), ())
    return [v.model for v in reversed(versions) if v.state == "ready"]


def _click_model(engine: Engine, model: Model) -> ClickModel:
    """Return the selector by one version of a model, with the encoder of the same version where it needs one.

    Raises:
        ModelNotReady: its encoder is not ready, or there is nothing to give it what it takes.
    """
    clicks = model.card.clicks
    if clicks is None:
        raise _unready(model, "its card does not say how it takes clicks")
    taken = _tensors(t for t in model.card.inputs if role_of(t.name) != "clicks")
    if clicks.encoder is None:
        if taken.keys() != {"crop"}:
            raise _unready(model, "it takes tensors besides a crop and clicks")
        return ClickModel(model, clicks)
    encoder = _encoder(engine, model, clicks.encoder)
    if encoder.card.clicks != clicks.model_copy(update={"encoder": None}):
        raise _unready(model, f"{encoder.name}, its encoder, takes clicks in another way")
    if not taken.items() <= _tensors(encoder.card.outputs).items():
        raise _unready(model, f"{encoder.name}, its encoder, does not give the features that it takes")
    return ClickModel(model, clicks, encoder)


def _encoder(engine: Engine, model: Model, name: str) -> Model:
    """Return the encoder of a model: `name`, in the version of the same number.

    Raises:
        ModelNotReady: it is not there, not an encoder, or not ready.
    """
    versions = next((s.versions for s in engine.statuses() if s.name == name), ())
    found = next((v for v in versions if v.model.version == model.version), None)
    if found is None or found.model.card.task != ENCODER_TASK:
        raise _unready(model, f"its encoder, version {model.version} of {name}, is not there")
    if found.state != "ready":
        raise _unready(model, f"its encoder, version {model.version} of {name}, is {found.state}")
    if _tensors(found.model.card.inputs).keys() != {"crop", "clicks"}:
        raise _unready(model, f"{name}, its encoder, takes tensors besides a crop and clicks")
    return found.model


def _tensors(specs: Iterable[TensorSpec]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape by role."""
    return {role_of(spec.name): (spec.dtype, spec.shape) for spec in specs}


def _unready(model: Model, reason: str) -> ModelNotReady:
    return ModelNotReady(f"Version {model.version} of model {model.name} cannot answer: {reason}.", retry_after=5)
