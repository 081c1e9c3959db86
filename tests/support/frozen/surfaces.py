"""What callers write their programs against: OpenAPI, metrics, problem types, and the client's names."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import maskgate_client
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import MaskgateError
from tests.support.app_client import AppClient
from tests.support.films import dicom
from tests.support.frozen import drawings
from tests.support.frozen.asked.interactive import BOX, shown

# Their values are of the machine, of the models, or of time.
_OPEN = frozenset({"model", "version", "value"})
_STARS: Mapping[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def openapi(client: AppClient) -> Any:
    """Return the API's description, sorted, without the version."""
    document = client.get("/openapi.json").json()
    assert document["info"]["version"] == client.app.version
    document["info"]["version"] = "<version>"
    return _sorted(document)


def metrics(client: AppClient) -> dict[str, Any]:
    """Return every metric by name, after a request of each task: its type, help, labels, and their closed sets.

    Args:
        client: of an app that was not asked before.
    """
    _ask_everything(client)
    text = client.get("/metrics").text
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label: set[str]() for label in _declared(client).get(family.name, ())}
        bounds: list[str] = []
        for sample in family.samples:
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
            if "le" in sample.labels and sample.labels["le"] not in bounds:
                bounds.append(sample.labels["le"])
        labels.pop("le", None)
        found[name] = {
            "type": family.type,
            "help": family.documentation,
            "labels": {label: "…" if label in _OPEN else sorted(values) for label, values in sorted(labels.items())},
        } | ({"buckets": " ".join(bounds)} if bounds else {})
    return dict(sorted(found.items()))


def problems(client: AppClient) -> dict[str, Any]:
    """Return what each problem type's address answers, and whether such a problem is worth a retry."""
    found = {}
    for error in _tree(MaskgateError):
        answer = client.get(f"/problems/{error.code}")
        document = answer.json() | {"answered": answer.status_code, "retryable": error.retryable}
        # Python 3.13 takes a docstring's indentation away.
        found[f"/problems/{error.code}"] = document | {"meaning": " ".join(document["meaning"].split())}
    unknown = client.get("/problems/none-such", headers={"X-Request-ID": "frozen"})
    return dict(sorted(found.items())) | {"/problems/none-such": unknown.json()}


def client_names() -> dict[str, Any]:
    """Return the public names of the client, with the signatures of what can be called."""
    return {name: _public(name, getattr(maskgate_client, name)) for name in sorted(maskgate_client.__all__)}


def _ask_everything(client: AppClient) -> None:
    photo, pair = {"image": drawings.photo()}, drawings.pair()
    answers = [
        client.post("/v1/damage", files=pair),
        client.post("/v1/damage?model=fused", files=drawings.found_pair()),
        client.post("/v1/damage", files=drawings.scenes()),
        client.post("/v1/ct", files={"image": drawings.png(drawings.ground(64, 64)[..., 0])}),
        client.post("/v1/radiograph", files={"image": dicom()}),
        client.post("/v1/waste", files=photo, headers={"Maskgate-Priority": "emergency"}),
        client.post("/v1/interactive", files=shown(BOX)),
        client.post("/v1/interactive/sessions", files=shown(BOX)),
        client.post("/v2/models/waste-lite0/infer", json={"inputs": []}),
        client.post("/v1/repository/refresh"),
        client.get("/healthz"),
        client.get("/none"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 7 + [201, 422, 200, 200, 404]


def _declared(client: AppClient) -> dict[str, tuple[str, ...]]:
    """Return the labels of each metric as they are declared, those without a sample yet too."""
    collectors: Any = client.services.telemetry.registry._collector_to_names
    return {collector._name: tuple(collector._labelnames) for collector in collectors}


def _tree(root: type[MaskgateError]) -> Iterator[type[MaskgateError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(member) for key, member in sorted(value.items())}
    return [_sorted(member) for member in value] if isinstance(value, list) else value


def _public(name: str, value: Any) -> Any:
    if inspect.isclass(value):
        return _of_class(value)
    if typing.get_origin(value) is typing.Literal:
        return {"one of": list(typing.get_args(value))}
    if typing.get_args(value):
        # What an array is of, each numpy writes in its own words.
        return {"any of": sorted(re.sub(r"^<class '(.*)'>$|\[.*", r"\1", str(part)) for part in typing.get_args(value))}
    return {"value": "<version>" if name == "__version__" else value}


def _of_class(kind: type[Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"bases": [base.__name__ for base in kind.__mro__[1:] if base is not object]}
    if kind.__init__ is not object.__init__:
        told["call"] = _signature(kind.__init__)
    members = {name: inspect.getattr_static(kind, name) for name in sorted(dir(kind))}
    for name, member in members.items():
        if name.startswith("_") and name not in ("__enter__", "__exit__", "__aenter__", "__aexit__"):
            continue
        if isinstance(member, property):
            told[name] = f"-> {_annotation(inspect.signature(member.fget).return_annotation)}" if member.fget else "?"
        elif isinstance(member, classmethod | staticmethod):
            told[name] = f"{type(member).__name__} {_signature(member.__func__)}"
        elif inspect.isfunction(member):
            told[name] = _signature(member)
    return told


def _signature(function: Any) -> str:
    """Return a signature alike on every Python: annotations as they are written."""
    asynchronous = inspect.iscoroutinefunction(inspect.unwrap(function))
    signature = inspect.signature(function)
    told: list[str] = []
    starred = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            told.append("*")
            starred = True
        starred = starred or parameter.kind is parameter.VAR_POSITIONAL
        text = f"{_STARS.get(parameter.kind, '')}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            text += f": {_annotation(parameter.annotation)}"
        told.append(text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}")
    return f"{'async ' if asynchronous else ''}({', '.join(told)}) -> {_annotation(signature.return_annotation)}"


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
