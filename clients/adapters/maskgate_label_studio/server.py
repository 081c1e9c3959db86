"""The HTTP of the backend: what Label Studio calls, and the images that it is asked about."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin, urlsplit

import httpx
from maskgate_client import DEFAULT_URL, Client, MaskgateError

from maskgate_label_studio.backend import Backend, Document

_SECONDS = 60
_LONGEST = 1 << 26
"""Bytes of a request: a brush's run lengths are its largest part."""


def fetcher(studio: str, token: str) -> Callable[[str], bytes]:
    """Return what fetches a task's image: from Label Studio with its token, from anywhere else without."""
    home = urlsplit(studio)

    def fetch(address: str) -> bytes:
        target = urlsplit(urljoin(studio, address))
        if target.scheme not in ("http", "https"):
            raise ValueError(f"images are fetched by http, not {target.scheme}")
        # Another host must not learn the token, nor by a redirect: httpx takes it off there.
        known = token and (target.scheme, target.netloc) == (home.scheme, home.netloc)
        headers = {"Authorization": f"Token {token}"} if known else {}
        answer = httpx.get(target.geturl(), headers=headers, timeout=_SECONDS, follow_redirects=True)
        return answer.raise_for_status().content

    return fetch


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, backend: Backend, *connection: object) -> None:
        self._backend = backend
        super().__init__(*connection)  # type: ignore[arg-type]  # as the server hands them over

    def do_GET(self) -> None:
        if self.path in ("/", "/health"):
            self._answer(200, {"status": "UP", "model_class": "Maskgate"})
        elif self.path == "/versions":
            self._answer(200, {"versions": [self._backend.setup({})["model_version"]]})
        else:
            self._answer(404, {"error": "no such call"})

    def do_POST(self) -> None:
        calls = {"/setup": self._backend.setup, "/predict": self._backend.predict, "/webhook": _heard}
        call = calls.get(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        if call is None or length > _LONGEST:
            self._answer(404 if call is None else 413, {"error": "no such call, or too much of it"})
            return
        try:
            self._answer(200, call(json.loads(self.rfile.read(length) or b"{}")))
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"error": f"{type(error).__name__}: {error}"})
        except (MaskgateError, httpx.HTTPError) as error:
            self._answer(502, {"error": str(error)})

    def _answer(self, status: int, document: Document) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: addresses of tasks are nobody's business."""


def _heard(event: Document) -> Document:
    """Take note of nothing: no model learns from annotations here."""
    return {}


def serve(backend: Backend, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that listens; `serve_forever` answers. Port 0 takes a free one."""
    return ThreadingHTTPServer((host, port), partial(_Handler, backend))


def main() -> None:
    """Listen until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m maskgate_label_studio", description=__doc__)
    parser.add_argument("--url", default=DEFAULT_URL, help="the gateway")
    parser.add_argument("--key", help="of the gateway, where it asks for one")
    parser.add_argument("--studio", default="http://127.0.0.1:8080", help="Label Studio's address")
    parser.add_argument("--token", default="", help="of Label Studio, to fetch uploaded images")
    parser.add_argument("--model", help="the gateway's model for clicks; default: its own")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9090)
    options = parser.parse_args()
    with Client(options.url, key=options.key) as client:
        backend = Backend(client, fetcher(options.studio, options.token), options.model)
        serve(backend, options.host, options.port).serve_forever()
