"""What the task routes tell OpenAPI of their bodies and problems, which FastAPI cannot see in their signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Documentation = dict[str, Any]

BINARY: Documentation = {"schema": {"type": "string", "format": "binary"}}

_PROBLEM = {"content": {"application/problem+json": {"schema": {"type": "object"}}}}


def multipart(parts: Mapping[str, Documentation], optional: Mapping[str, Documentation] | None = None) -> Documentation:
    """Return a multipart body of parts by name, all of `parts` required."""
    schema = {"type": "object", "required": list(parts), "properties": {**parts, **(optional or {})}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def image_part(description: str) -> Documentation:
    """Return a part that is an image file."""
    return {"type": "string", "format": "binary", "description": description}


def problems(meanings: Mapping[int, str]) -> dict[int | str, Documentation]:
    """Return the problem documents of a route by status, those that every task route has among them."""
    common = {
        401: "Where keys are configured: no key, or none that is known.",
        403: "The key lacks the scope.",
        429: "The key's own limits are used up; see `Retry-After` and `RateLimit`.",
        503: "Overloaded, draining, or the model is not ready; see `Retry-After`.",
        504: "The deadline passed.",
    }
    return {status: {"description": meaning, **_PROBLEM} for status, meaning in {**meanings, **common}.items()}
