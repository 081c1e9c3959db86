"""A gateway small enough to read: it answers every call at once and remembers what it was sent."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

LABELS = np.array([[0, 0, 1], [0, 4, 4]], np.uint8)
PALETTE = np.array([(0, 0, 0), (0, 128, 0), (0, 0, 255), (255, 165, 0), (255, 0, 0)], np.uint8)
REPORT: dict[str, Any] = {
    "model": "bd-siamunet",
    "width": 3,
    "height": 2,
    "classes": [
        {"value": 0, "name": "background", "colour": [0, 0, 0], "pixels": 3, "share": 0.5},
        {"value": 1, "name": "no-damage", "colour": [0, 128, 0], "pixels": 1, "share": 0.166667},
        {"value": 4, "name": "destroyed", "colour": [255, 0, 0], "pixels": 2, "share": 0.333333},
    ],
    "regions": [
        {
            "polygon": [[1, 1], [3, 1], [3, 2], [1, 2]],
            "holes": [],
            "class": 4,
            "name": "destroyed",
            "area": 2,
            "confidence": 0.75,
            "box": [1, 1, 3, 2],
        }
    ],
    "notices": ["post image: alpha dropped"],
    "provenance": {
        "model": "bd-siamunet",
        "version": 1,
        "digest": "sha256:00",
        "engine": "embedded",
        "input_digest": "sha256:11",
        "gateway": "0.1.0",
    },
}
HEADERS = {
    "x-request-id": "r-1",
    "server-timing": "decode;dur=12.5, infer;dur=80",
    "maskgate-model": "bd-siamunet",
    "maskgate-version": "1",
    "maskgate-digest": "sha256:00",
}


def label_map_png() -> bytes:
    """Return `LABELS` as a gateway sends it: indexed, in as few bits as the classes need."""
    picture = Image.fromarray(LABELS)
    picture.putpalette(PALETTE.tobytes())
    buffer = BytesIO()
    picture.save(buffer, "PNG", bits=4)
    return buffer.getvalue()


def problem(status: int, code: str, *, retry_after: int | None = None, detail: str = "It was.") -> httpx.Response:
    """Return a problem document as the gateway writes it."""
    document = {"title": f"The {code}", "status": status, "detail": detail, "code": code, "request_id": "r-1"}
    headers = {"content-type": "application/problem+json"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return httpx.Response(status, headers=headers, content=json.dumps(document))


@dataclass
class FakeGateway:
    """Answers like the real one; `instead` may answer first, for what goes wrong."""

    requests: list[httpx.Request] = field(default_factory=list)
    instead: Callable[[httpx.Request], httpx.Response | None] = lambda _: None

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.instead(request) or self._usual(request)

    def _usual(self, request: httpx.Request) -> httpx.Response:
        model = {"name": "bd-siamunet", "state": "ready", "task": "damage", "version": 1, "digest": "sha256:00"}
        broken = {"name": "broken", "state": "failed", "reason": "no card.json"}
        match request.url.path:
            case "/readyz":
                return httpx.Response(200, json={"ready": True})
            case "/v1/models":
                return httpx.Response(200, json={"models": [model, broken]})
            case "/v1/models/bd-siamunet":
                return httpx.Response(200, json=model | {"card": {"licence": "research"}})
            case "/v1/damage" if request.headers["accept"] == "application/json":
                pictures = {"label_map": label_map_png(), "overlay": b"overlay"}
                wanted = request.url.params.get_list("include")
                encoded = {name: b64encode(pictures[name]).decode() for name in wanted}
                return httpx.Response(200, headers=HEADERS, json=REPORT | {"pictures": encoded})
            case "/v1/damage":
                content = b"overlay" if request.url.params.get("overlay") else label_map_png()
                return httpx.Response(200, headers=HEADERS | {"content-type": "image/png"}, content=content)
        return problem(404, "route-not-found")


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()
