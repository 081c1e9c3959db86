"""Answers over HTTP as documents: status, headers and body, without what is another each time."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from gateway.http.problems import ON_EVERY_ANSWER
from tests.support.app_client import AppClient
from tests.support.frozen.files import described, digest

Parts = Mapping[str, bytes]
Describe = Callable[[bytes], dict[str, Any]]

_MANY, _LONG = 40, 300
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VOLATILE = {"expires": "<then>"}
_ENCODED = frozenset({"pictures", "files"})


class Recorder:
    """Asks an app, and describes what it answers.

    Attributes:
        client: of the app.
        known: texts that differ from machine to machine, and what stands for them.
        uids: of the DICOM files sent.
    """

    def __init__(self, client: AppClient) -> None:
        self.client = client
        self.uids: dict[str, str] = {}
        self.known: dict[str, str] = {}
        for model in client.get("/v1/models").json()["models"]:
            for version in model["versions"]:
                self.known[version["digest"]] = f"<digest of {model['name']} {version['version']}>"

    def post(self, path: str, files: Parts, accept: str | None = None, **options: Any) -> dict[str, Any]:
        """Return what a body of parts is answered with."""
        return self.ask("POST", path, accept, files=files, **options)

    def get(self, path: str, accept: str | None = None, **options: Any) -> dict[str, Any]:
        """Return what is answered without a body."""
        return self.ask("GET", path, accept, **options)

    def ask(
        self, method: str, path: str, accept: str | None = None, *, describe: Describe | None = None, **options: Any
    ) -> dict[str, Any]:
        """Return the answer as a document.

        Args:
            method: of the request.
            path: with its query.
            accept: media type asked for; None: any.
            describe: what a body or picture that is no JSON is described by.
            options: of httpx.
        """
        return self.document(self.raw(method, path, accept, **options), describe)

    def raw(self, method: str, path: str, accept: str | None = None, **options: Any) -> httpx.Response:
        """Return the answer as it is."""
        headers = {"X-Request-ID": "frozen", **options.pop("headers", {})} | ({"Accept": accept} if accept else {})
        self._name_digests(options.get("files") or {})
        return self.client.request(method, path, headers=headers, **options)

    def document(self, answer: httpx.Response, describe: Describe | None = None) -> dict[str, Any]:
        """Return an answer as a document."""
        told = describe or (lambda data: described(data, self.uids))
        kind = answer.headers.get("content-type", "")
        if "json" in kind:
            body = self._masked(answer.json(), told)
        elif kind == "application/octet-stream":
            length = int(answer.headers["inference-header-content-length"])
            tail = answer.content[length:]
            body = {
                "head": self._masked(json.loads(answer.content[:length]), told),
                "tensors": {"bytes": len(tail), "sha256": digest(tail)},
            }
        else:
            body = self._masked(told(answer.content), told) if answer.content else None
        return {"status": answer.status_code, "headers": self._headers(answer.headers), "body": body}

    def _headers(self, headers: httpx.Headers) -> dict[str, str]:
        # What every answer has alike is a matter of tests/api/test_operators.py.
        alike = {name.lower(): value for name, value in ON_EVERY_ANSWER.items()}
        found = {name: self._text(value) for name, value in sorted(headers.items()) if alike.get(name) != value}
        if "etag" in found:
            found["etag"] = "<digest of the body>"
        if "content-length" in found:
            found["content-length"] = "<length>"
        if "server-timing" in found:
            found["server-timing"] = re.sub(r"=[0-9.]+", "=…", found["server-timing"])
        if "inference-header-content-length" in found:
            found["inference-header-content-length"] = "<length>"
        return found

    def _masked(self, value: Any, describe: Describe, key: str = "", encoded: bool = False) -> Any:
        """Return JSON without what differs each time, long parts by their digests, encoded files described."""
        if key in _VOLATILE and isinstance(value, str):
            return _VOLATILE[key]
        if isinstance(value, dict):
            within = encoded or key in _ENCODED
            if key == "versions" and all(isinstance(v, str) and v[:1].isdigit() for v in value.values()):
                return dict.fromkeys(value, "<version>")
            return {self._text(k): self._masked(v, describe, k, within) for k, v in value.items()}
        if isinstance(value, list):
            if len(value) > _MANY and all(isinstance(v, int) for v in value):
                return {"numbers": len(value), "sha256": digest(json.dumps(value).encode())}
            return [self._masked(v, describe) for v in value]
        if isinstance(value, str):
            if encoded:
                return self._masked(describe(b64decode(value)), describe)
            if len(value) > _LONG:
                return {"characters": len(value), "sha256": digest(value.encode())}
            return self._text(value)
        return value

    def _text(self, text: str) -> str:
        version: str = self.client.app.version
        text = "<version>" if text == version else text.replace(f"Maskgate {version}", "Maskgate <version>")
        text = re.sub(r"opencv[ -]?[0-9][0-9.]*", "opencv <version>", text)
        for plain, name in self.known.items():
            text = text.replace(plain, name)
            if plain.startswith("sha256:"):
                text = text.replace(plain.removeprefix("sha256:"), name)
        return _DIGEST.sub("<another digest>", text)

    def _name_digests(self, files: Parts) -> None:
        """Know the parts by their digests, and all of them together by that of their digests."""
        digests = {name: hashlib.sha256(data) for name, data in files.items()}
        for name, one in digests.items():
            self.known[f"sha256:{one.hexdigest()}"] = f"<digest of part {name}>"
        if {"pre", "post"} <= digests.keys():
            both = hashlib.sha256(digests["pre"].digest() + digests["post"].digest())
            self.known[f"sha256:{both.hexdigest()}"] = "<digest over pre and post>"
