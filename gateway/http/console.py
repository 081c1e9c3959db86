"""The web console and the page that shows the API: files of this tree alone, so that both work without the internet."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from gateway.errors import RouteNotFound
from gateway.http.parameters import accepts_gzip
from gateway.http.request_path import InjectedServices, Services

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a page of ours may load: its own files, and pictures that it made itself; nothing inline, nothing of others."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
# A library's folder has its version in its name, so its files never change; the console's own do with the gateway.
_FOR_GOOD, _ASK_FIRST = "public, max-age=31536000, immutable", "no-cache"


@cache
def folder() -> Path:
    """Return the folder of the console's files: in a wheel inside this package, in the source tree a client's."""
    package = Path(str(files("gateway")))
    inside = package / "console"
    return inside if inside.is_dir() else package.parent / "clients" / "console" / "web"


@dataclass(frozen=True)
class _File:
    """A file as it is sent: its bytes, the same compressed, and what tells it from any other."""

    plain: bytes
    packed: bytes
    tag: str
    kind: str


@cache
def _names() -> frozenset[str]:
    """Return what there is: nothing else can be asked for, whatever a path says."""
    root = folder()
    return frozenset(
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in _TYPES and path.is_file()
    )


@cache
def _read(name: str) -> _File:
    plain = (folder() / name).read_bytes()
    tag = f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
    return _File(plain, gzip.compress(plain, mtime=0), tag, _TYPES[Path(name).suffix])


@router.get("/")
async def front(services: InjectedServices) -> Response:
    """Lead to the console, or where there is none to the API's description."""
    return RedirectResponse("console/" if services.settings.server.console else "docs")


@router.get("/console")
async def console(services: InjectedServices) -> Response:
    """Lead to the console's folder, under which its links are right."""
    _check_offered(services)
    return RedirectResponse("console/")


@router.get("/console/{name:path}")
def console_file(name: str, request: Request, services: InjectedServices) -> Response:
    """Return a file of the console. In a thread: the first caller's is read and compressed."""
    _check_offered(services)
    return _answer(name or "index.html", request)


@router.get("/docs")
def docs(request: Request) -> Response:
    """Return the page that shows the API."""
    return _answer("docs.html", request)


@router.get("/docs/{name:path}")
def docs_file(name: str, request: Request) -> Response:
    """Return what that page needs, where the console is off too."""
    return _answer(name, request)


def _check_offered(services: Services) -> None:
    if not services.settings.server.console:
        raise RouteNotFound("There is no console: the setting server.console is off.")


def _answer(name: str, request: Request) -> Response:
    if name not in _names():
        raise RouteNotFound("The console has no such file.")
    file = _read(name)
    headers = {
        "Cache-Control": _FOR_GOOD if name.startswith("vendor/") else _ASK_FIRST,
        "Content-Type": file.kind,
        "ETag": file.tag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": POLICY,
    }
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or file.tag in known:
        return Response(status_code=304, headers=headers)
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.plain, headers=headers)
