"""What task routes tell OpenAPI of bodies, answers and problems, which FastAPI cannot see in their signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.http.parameters import JSON
from gateway.http.request_path import DEADLINE, PRIORITY
from gateway.registry import Part, TaskSpec
from gateway.scheduling.lanes import LANES

Documentation = dict[str, Any]
Responses = dict[int | str, Documentation]

BINARY: Documentation = {"schema": {"type": "string", "format": "binary"}}

HEADERS: list[Documentation] = [
    {
        "name": PRIORITY,
        "in": "header",
        "schema": {"type": "string", "enum": list(LANES), "default": "bulk"},
        "description": "The lane in which the request waits: emergencies go before everything else.",
    },
    {
        "name": DEADLINE,
        "in": "header",
        "schema": {"type": "number", "exclusiveMinimum": 0},
        "description": "Seconds from its first byte on in which the request is to be answered. What is predicted to "
        "take longer, the queue before it included, is refused before its body is read, with 503 and `Retry-After`.",
    },
]
"""What every task takes of how urgent a request is."""

_LEFT: list[Documentation] = [
    {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string"},
        "description": "`respond-async`: leave the request as a job, where the gateway keeps them; see `/v1/jobs`.",
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "maxLength": 255},
        "description": "Of a request that is left as a job: sent again, it answers with the job that it left first.",
    },
]

_COMMON = {
    401: "Where keys are configured: no key, or none that is known.",
    403: "The key lacks the scope.",
    429: "The key's own limits are used up; see `Retry-After` and `RateLimit`.",
    503: "Overloaded, draining, the model is not ready, or the answer would come after its deadline; see "
    "`Retry-After`.",
    504: "The deadline passed.",
}
_OF_MODELS = {
    404: "No such model, or no such version of it.",
    406: "`Accept` names nothing this route produces.",
}


def task_body(spec: TaskSpec, *, optional: Sequence[str] = (), bare: bool = False) -> Documentation:
    """Return a task's multipart body, and the headers that every task takes.

    Args:
        spec: of the task.
        optional: names of required parts that this route can do without.
        bare: the only part may be the body itself.
    """
    required = [name for name in spec.required_parts if name not in optional]
    properties = {part.name: _part(part) for part in spec.parts}
    schema = {"type": "object", "required": required, "properties": properties}
    content: Documentation = {"multipart/form-data": {"schema": schema}}
    if bare:
        (only,) = spec.parts
        content |= dict.fromkeys(only.media_types, BINARY)
    described = body(content)
    return described if optional else {**described, "parameters": [*HEADERS, *_LEFT]}


def body(content: Documentation) -> Documentation:
    """Return a body by media type, and the headers that every task takes."""
    return {"requestBody": {"required": True, "content": content}, "parameters": HEADERS}


def task_responses(spec: TaskSpec, answer: Any) -> Responses:
    """Return the answers of a task's route: its formats, `answer` as JSON, and the problems that it may meet."""
    content = {media_type: BINARY for media_type in spec.formats if media_type != JSON}
    return {
        200: {"description": spec.texts.answer, "model": answer, "content": content},
        202: {"description": "The request is left as a job, as its caller prefers; `Location` names it."},
        **task_problems(spec),
    }


def task_problems(spec: TaskSpec) -> Responses:
    """Return the problem documents of a task's route by status."""
    parts = "the part is missing" if len(spec.parts) == 1 else "a part is missing"
    own = {400: f"The body is malformed, or {parts} or there twice.", **_OF_MODELS, **spec.texts.problems}
    return problems(dict(sorted(own.items())))


def problems(meanings: Mapping[int, str]) -> Responses:
    """Return the problem documents of a route by status, those that every route with a key has among them."""
    return {status: {"description": meaning} for status, meaning in {**meanings, **_COMMON}.items()}


def _part(part: Part) -> Documentation:
    if not part.examples:
        return {"type": "string", "format": "binary", "description": part.description}
    (media_type,) = part.media_types
    text = {"type": "string", "contentMediaType": media_type, "description": part.description}
    return {**text, "examples": list(part.examples)}
