"""What the task routes tell OpenAPI of their bodies and problems, which FastAPI cannot see in their signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.http.urgency import DEADLINE, PRIORITY
from gateway.scheduling.lanes import LANES

Documentation = dict[str, Any]

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

_PROBLEM = {"content": {"application/problem+json": {"schema": {"type": "object"}}}}


def multipart(parts: Mapping[str, Documentation], optional: Mapping[str, Documentation] | None = None) -> Documentation:
    """Return a multipart body of parts by name, all of `parts` required, and the headers that every task takes."""
    schema = {"type": "object", "required": list(parts), "properties": {**parts, **(optional or {})}}
    return body({"multipart/form-data": {"schema": schema}})


def body(content: Documentation) -> Documentation:
    """Return a body by media type, and the headers that every task takes."""
    return {"requestBody": {"required": True, "content": content}, "parameters": HEADERS}


def image_part(description: str) -> Documentation:
    """Return a part that is an image file."""
    return {"type": "string", "format": "binary", "description": description}


def problems(meanings: Mapping[int, str]) -> dict[int | str, Documentation]:
    """Return the problem documents of a route by status, those that every task route has among them."""
    common = {
        401: "Where keys are configured: no key, or none that is known.",
        403: "The key lacks the scope.",
        429: "The key's own limits are used up; see `Retry-After` and `RateLimit`.",
        503: "Overloaded, draining, the model is not ready, or the answer would come after its deadline; see "
        "`Retry-After`.",
        504: "The deadline passed.",
    }
    return {status: {"description": meaning, **_PROBLEM} for status, meaning in {**meanings, **common}.items()}
