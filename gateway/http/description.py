"""The API's description: OpenAPI with our problems and keys in it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi

from gateway.access.keys import takes_a_key
from gateway.http.documentation import Documentation
from gateway.http.problems import PROBLEM_JSON

router = APIRouter(include_in_schema=False)

_SCHEMA = "/openapi.json"
_DESCRIPTION = """Trained vision models as a service. Send images, get masks back.

Coordinates are (x, y) pixels, origin top left, after EXIF orientation. Errors are RFC 9457 problem
documents whose `type` can be fetched here. The models are research demonstrations; read their cards.
"""
_KEYS: Documentation = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, where the operator has set keys."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in its own header."},
}
_REFUSED = "A parameter is not valid, or none of this address."
_PROBLEM: Documentation = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROBLEM_SCHEMA: Documentation = {
    "title": "Problem",
    "description": "An RFC 9457 problem document.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Can be fetched: what the problem means"},
        "title": {"type": "string", "description": "Always the same for a code"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for the caller"},
        "instance": {"type": "string", "format": "uri"},
        "code": {"type": "string", "description": "Stable; the last step of `type`", "examples": ["image-too-large"]},
        "request_id": {"type": "string", "description": "As in `X-Request-ID`, and in the log"},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later"},
        "limit": {"type": "integer", "description": "The limit that was passed, where one was"},
        "errors": {
            "type": "array",
            "description": "The part, parameter or member at fault, where one is",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "error": {"type": "string", "description": "Under `/v2`: `detail`, as the Open Inference Protocol has it"},
    },
}


class DescribedApi(FastAPI):
    """An app that describes itself: FastAPI's own validation errors, which no route answers with, are not in it."""

    def __init__(self, **options: Any) -> None:
        """Leave out FastAPI's own pages, which are no routes of ours."""
        super().__init__(
            title="Maskgate", description=_DESCRIPTION, docs_url=None, redoc_url=None, openapi_url=None, **options
        )

    def openapi(self) -> Documentation:
        """Return the description, which does not change while the app runs."""
        if self.openapi_schema is None:
            settings = self.state.services.settings
            offered: list[dict[str, list[str]]] = [{name: []} for name in _KEYS]
            if not settings.auth.keys:
                offered.append({})
            described = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            components = described.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            for of_fastapi in ("HTTPValidationError", "ValidationError"):
                schemas.pop(of_fastapi, None)
            schemas["Problem"] = _PROBLEM_SCHEMA
            components["securitySchemes"] = _KEYS
            for path, operations in described["paths"].items():
                for operation in operations.values():
                    _complete(operation)
                    if takes_a_key(path, metrics=settings.server.metrics_port is None):
                        operation["security"] = offered
            self.openapi_schema = described
        return self.openapi_schema


def _complete(operation: Documentation) -> None:
    """Say of an operation that it refuses by problems, parameters among the rest."""
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
    answers.setdefault("422", {"description": _REFUSED})
    for status, answer in answers.items():
        if status >= "400" and not answer.get("content"):
            answer["content"] = _PROBLEM
    operation["responses"] = dict(sorted(answers.items()))


@router.get(_SCHEMA)
async def schema(request: Request) -> Documentation:
    """Return the description, with the address under which a proxy shows this gateway."""
    prefix = request.scope["state"].get("prefix", "")
    described: Documentation = request.app.openapi()
    return described | {"servers": [{"url": prefix}]} if prefix else described
