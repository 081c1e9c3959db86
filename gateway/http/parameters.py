"""Query parameters that tasks share, as typed dependencies: which model answers, and in which form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query, Request

from gateway.http.request_path import Services
from gateway.registry import TaskSpec

Form = TypeVar("Form", bound=str)


@dataclass(frozen=True)
class ModelQuery:
    """Which model a caller wants.

    Attributes:
        model: its name; None: the default one of the settings.
        version: its number; None: the newest that is ready.
    """

    model: str | None
    version: int | None

    def name(self, services: Services, spec: TaskSpec) -> str:
        """Return the name of the model that is to answer."""
        return self.model or services.settings.models.named(spec.name)


@dataclass(frozen=True)
class FormQuery(Generic[Form]):
    """The form in which a caller wants the answer.

    Attributes:
        accept: the `Accept` header.
        overlay: whether a PNG is to be an overlay.
        include: what a JSON answer is to hold besides.
    """

    accept: str | None
    overlay: bool
    include: tuple[Form, ...]


def model_query(spec: TaskSpec) -> Any:
    """Return the dependency that makes a `ModelQuery` of the parameters `model` and `version`, as the task has them."""
    name = Query(description=spec.texts.model, examples=[spec.default_model])
    number = Query(ge=1, description="One of the model's versions; without it the newest that is ready")
    optional = {"model": Annotated[str | None, name], "version": Annotated[int | None, number]}
    return _dependency(lambda values: ModelQuery(**values), dict.fromkeys(optional), optional)


def form_query(spec: TaskSpec, forms: Any, *, overlay: bool = True) -> Any:
    """Return the dependency that makes a `FormQuery` of `Accept` and the parameters `overlay` and `include`.

    Args:
        spec: of the task; one whose texts say nothing of a parameter has none.
        forms: the Literal of what a JSON answer may hold besides.
        overlay: whether the route answers with pictures at all.
    """
    optional: dict[str, Any] = {}
    if overlay and spec.texts.overlay:
        optional["overlay"] = Annotated[bool, Query(description=spec.texts.overlay)]
    if spec.texts.include:
        optional["include"] = Annotated[list[forms] | None, Query(description=spec.texts.include)]

    def make(values: Mapping[str, Any]) -> FormQuery[Any]:
        accept = values["request"].headers.get("accept")
        return FormQuery(accept, values.get("overlay", False), tuple(values.get("include") or ()))

    return _dependency(make, {"overlay": False, "include": None}, {"request": Request, **optional})


@dataclass(frozen=True)
class _FromQuery:
    """Hands the parameters of a request to `make`.

    Its call is a coroutine function: FastAPI would make a plain function, or a class, in a thread.
    """

    make: Callable[[Mapping[str, Any]], object]
    __signature__: Signature

    async def __call__(self, **values: object) -> object:
        return self.make(values)


def _dependency(
    make: Callable[[Mapping[str, Any]], object], defaults: Mapping[str, object], annotations: Mapping[str, Any]
) -> Any:
    """Return the dependency on parameters of the names and types in `annotations`."""
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=defaults.get(name, Parameter.empty), annotation=annotation)
        for name, annotation in annotations.items()
    ]
    return Depends(_FromQuery(make, Signature(parameters)))
