"""Errors as RFC 9457 problem documents: the one place where they meet HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from gateway.errors import CallerLeft, MaskgateError, MethodNotAllowed, RouteNotFound
from gateway.http.parameters import invalid

PROBLEM_JSON = "application/problem+json"
ON_EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""What keeps browsers from guessing types, from showing an answer inside another page, and from telling where from."""
router = APIRouter(tags=["service"])


def problem(error: MaskgateError, scope: Scope) -> Response:
    """Return `error` as a problem document.

    Under `/v2` it also has the member `error` that the Open Inference Protocol asks for.
    """
    request_id, prefix = scope["state"]["request_id"], scope["state"].get("prefix", "")
    document = {
        **error.members,
        "type": f"{prefix}/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": f"urn:maskgate:request:{request_id}",
        "code": error.code,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if f"{scope['path']}/".startswith("/v2/"):
        document["error"] = error.detail
    headers = {"Cache-Control": "no-store", **ON_EVERY_ANSWER, **error.headers}
    if error.limit is not None:
        document["limit"] = error.limit
    if error.pointer is not None:
        document["errors"] = [{"pointer": error.pointer, "detail": error.detail}]
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Response(json.dumps(document), error.status, headers, PROBLEM_JSON)


def install(app: FastAPI) -> None:
    """Answer every error of the tree, of routing and of validation with a problem document."""

    @app.exception_handler(MaskgateError)
    async def _ours(request: Request, error: MaskgateError) -> Response:
        return _answer(request, error)

    @app.exception_handler(HTTPException)
    async def _routing(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            allowed = ", ".join(_allowed(app, request.scope))
            return _answer(request, MethodNotAllowed(f"This address takes {allowed}.", headers={"Allow": allowed}))
        return _answer(request, RouteNotFound("There is no such route; GET /docs lists them."))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, invalid(error, request.scope))


def _allowed(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods of an address, over all routes that it has."""

    def taken(method: str) -> bool:
        # A route writes into the scope that it is asked about.
        return any(route.matches({**scope, "method": method})[0] == Match.FULL for route in app.router.routes)

    found = [method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if taken(method)]
    return [*found, "HEAD"] if "GET" in found else found


def _answer(request: Request, error: MaskgateError) -> Response:
    if not isinstance(error, CallerLeft):
        request.scope["state"]["problem"] = error.code
    return problem(error, request.scope)


def _tree(root: type[MaskgateError] = MaskgateError) -> Iterator[type[MaskgateError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


@router.get("/problems/{code}", summary="What a problem type means")
async def meaning(code: str) -> JSONResponse:
    """Return title, status and meaning of the problem `type` that names this address."""
    for error in _tree():
        if error.code == code:
            return JSONResponse({"code": code, "title": error.title, "status": error.status, "meaning": error.__doc__})
    raise RouteNotFound("There is no such problem type.")
