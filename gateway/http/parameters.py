"""What a caller asks of a route: query parameters, those that tasks share as typed dependencies, and media types.

Which of the media types that a route can produce its caller wants goes by RFC 9110, 12.5.1. Parameters that a route has
not are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import Parameter, Signature
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.types import Scope

from gateway.errors import NotAcceptable, ParameterInvalid
from gateway.http.request_path import Services
from gateway.registry import TaskSpec

PNG, JSON = "image/png", "application/json"

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

    def choose(self, offered: Sequence[str] = (PNG, JSON)) -> str:
        """Return the media type wanted; the earlier offer where any will do.

        Args:
            offered: media types, PNG and JSON among them.

        Raises:
            NotAcceptable: none of them is wanted.
            ParameterInvalid: what is asked for belongs to another form.
        """
        media_type = preferred(self.accept, offered)
        if self.overlay and media_type != PNG:
            raise ParameterInvalid(
                "An overlay is a picture; accept image/png, or use include=overlay.", pointer="/overlay"
            )
        if self.include and media_type != JSON:
            raise ParameterInvalid("Only a JSON answer includes more; accept application/json.", pointer="/include")
        return media_type


@dataclass(frozen=True)
class Wish(FormQuery[Form]):
    """The form wanted of a route whose answers depend on the input too.

    Attributes:
        direct: the forms that are answers by themselves, by media type; in order, JSON's place being the second.
    """

    direct: Mapping[str, Form]

    @property
    def offered(self) -> tuple[str, ...]:
        """All media types of the route, a PNG first, as on all routes of masks."""
        first, *others = self.direct
        return (first, JSON, *others)

    def check(self) -> str:
        """Return the media type wanted, whatever the input; see `FormQuery.choose`."""
        return self.choose(self.offered)

    def granted(self, unfit: Mapping[Form, str], overlay: Form) -> tuple[str, tuple[Form, ...]]:
        """Return the media type of the answer, and the form that it is in, or those that a JSON answer holds.

        Args:
            unfit: the forms that this input cannot be answered with, and why.
            overlay: what the form of an overlay is called.

        Raises:
            NotAcceptable: `accept` names only what this input cannot be answered with.
            ParameterInvalid: `overlay` or `include` does.
        """
        asked = (overlay,) if self.overlay else tuple(dict.fromkeys(self.include))
        for form in asked:
            if form in unfit:
                raise ParameterInvalid(unfit[form], pointer="/overlay" if self.overlay else "/include")
        if asked:
            return (PNG if self.overlay else JSON), asked
        fit = [media_type for media_type in self.offered if self.direct.get(media_type) not in unfit]
        try:
            media_type = preferred(self.accept, fit)
        except NotAcceptable as error:
            reason = unfit[self.direct[preferred(self.accept, self.offered)]]
            raise NotAcceptable(f"{reason} Accept {', '.join(fit)}.", pointer="/accept") from error
        return media_type, () if media_type == JSON else (self.direct[media_type],)


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type the `Accept` header prefers; the earlier offer where it does not care.

    Raises:
        NotAcceptable: it refuses all of them.
    """
    if not accept or not accept.strip():
        return offered[0]
    ranges = [_parse(entry) for entry in accept.split(",") if entry.strip()]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"This route answers with {', '.join(offered)}.", pointer="/accept")
    return best


def accepts_gzip(accept: str) -> bool:
    """Return whether an `Accept-Encoding` header takes gzip; what it does not name is not sent unasked."""
    qualities = dict(_parse(entry) for entry in accept.split(","))
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _parse(entry: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in entry.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_range, min(1.0, max(0.0, float(value)))
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that covers `media_type`, 0 where none does."""
    kind = media_type.split("/")[0]
    for covering in (media_type, f"{kind}/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == covering]
        if qualities:
            return max(qualities)
    return 0.0


def model_query(spec: TaskSpec) -> Any:
    """Return the dependency that makes a `ModelQuery` of the parameters `model` and `version`, as the task has them."""
    name = Query(description=spec.texts.model, examples=[spec.default_model])
    number = Query(ge=1, description="One of the model's versions; without it the newest that is ready")
    optional = {"model": Annotated[str | None, name], "version": Annotated[int | None, number]}
    return _dependency(lambda values: ModelQuery(**values), dict.fromkeys(optional), optional)


def form_query(spec: TaskSpec, forms: Any, direct: Mapping[str, str] | None = None, *, overlay: bool = True) -> Any:
    """Return the dependency on `Accept` and the parameters `overlay` and `include`: a `FormQuery`, or a `Wish`.

    Args:
        spec: of the task; one whose texts say nothing of a parameter has none.
        forms: the Literal of what a JSON answer may hold besides.
        direct: as of `Wish`, which is made then; None: a `FormQuery` is.
        overlay: whether the route answers with pictures at all.
    """
    optional: dict[str, Any] = {}
    if overlay and spec.texts.overlay:
        optional["overlay"] = Annotated[bool, Query(description=spec.texts.overlay)]
    if spec.texts.include:
        optional["include"] = Annotated[list[forms] | None, Query(description=spec.texts.include)]

    def make(values: Mapping[str, Any]) -> FormQuery[Any]:
        accept = values["request"].headers.get("accept")
        overlay, include = values.get("overlay", False), tuple(values.get("include") or ())
        return FormQuery(accept, overlay, include) if direct is None else Wish(accept, overlay, include, direct)

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


async def only_declared(request: Request) -> None:
    """Refuse query parameters that the route does not declare, and those that are there twice and mean one thing.

    A misspelt one would otherwise be answered as though it were not there: by another model, at another threshold.

    Raises:
        ParameterInvalid: there is such a parameter.
    """
    declared = dict(_declared(request.scope))
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in declared:
            raise ParameterInvalid(_unknown(name, tuple(declared)), pointer=f"/{_printable(name)}")
        if count > 1 and not _is_list(declared[name].annotation):
            raise ParameterInvalid(f"The parameter '{name}' is there {count} times.", pointer=f"/{name}")


def invalid(error: RequestValidationError, scope: Scope) -> ParameterInvalid:
    """Return what the caller is told of a parameter whose value is none that it may have: what it may be."""
    # Of a parameter that may be repeated the place goes on with a number.
    name = next(step for step in reversed(error.errors()[0]["loc"]) if isinstance(step, str))
    field = dict(_declared(scope)).get(name)
    if field is None:
        return ParameterInvalid(f"The parameter '{name}' is not valid; see GET /docs.", pointer=f"/{name}")
    kind: Any = Annotated[field.annotation, field]
    allowed = _told(TypeAdapter(kind).json_schema())
    return ParameterInvalid(f"The parameter '{name}' is {allowed}.", pointer=f"/{name}")


_LONGEST_NAME = 64


def _declared(scope: Scope) -> Iterator[tuple[str, Any]]:
    """Yield name and field of each query and path parameter of the route that was found."""

    def of(dependant: Any) -> Iterator[tuple[str, Any]]:
        for parameter in (*dependant.query_params, *dependant.path_params):
            yield parameter.alias, parameter.field_info
        for dependency in dependant.dependencies:
            yield from of(dependency)

    return of(scope["route"].dependant)


def _unknown(name: str, declared: tuple[str, ...]) -> str:
    told = f"There is no parameter '{_printable(name)}' here"
    if not declared:
        return f"{told}: this address takes none."
    if near := get_close_matches(name[:_LONGEST_NAME].lower(), declared, 1):
        return f"{told}; the nearest is '{near[0]}'."
    return f"{told}; there are {', '.join(declared)}."


def _printable(name: str) -> str:
    """Return a caller's name of a parameter as it may stand in a sentence."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name[:_LONGEST_NAME])


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))


_KINDS: Mapping[str, str] = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
_BOUNDS: Mapping[str, str] = {
    "exclusiveMinimum": "above {:g}",
    "minimum": "{:g} at least",
    "exclusiveMaximum": "below {:g}",
    "maximum": "{:g} at most",
    "minLength": "of {} characters at least",
    "maxLength": "of {} characters at most",
    "pattern": "that matches {}",
}


def _told(schema: Mapping[str, Any]) -> str:
    """Return in words what a JSON schema lets a parameter be."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if kinds:
        return " or ".join(dict.fromkeys(map(_told, kinds)))
    if "$ref" in schema or schema.get("type") == "array":
        return f"one or several, each {_told(schema['items'])}" if "items" in schema else "not valid; see GET /docs"
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " or ".join(map(str, choices))
    bounds = [told.format(schema[bound]) for bound, told in _BOUNDS.items() if bound in schema]
    return ", ".join([_KINDS.get(schema.get("type", ""), "text"), *([" and ".join(bounds)] if bounds else [])])
