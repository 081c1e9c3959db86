"""Jobs, as tests leave and await them."""

from __future__ import annotations

import time
from typing import Any, Protocol

import httpx

BYTES = {"Content-Type": "application/offset+octet-stream"}
"""What the bytes of an upload are sent as."""


class Asked(Protocol):
    """A client of a gateway: `AppClient`, or one of httpx."""

    def get(self, path: str, /, **options: Any) -> httpx.Response: ...

    def post(self, path: str, /, **options: Any) -> httpx.Response: ...


def upload(client: Asked, content: bytes, **headers: str) -> str:
    """Upload something in one request, and return its id."""
    headers = {"Upload-Length": str(len(content)), **BYTES, **headers}
    answer = client.post("/v1/uploads", content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Upload-Offset"] == str(len(content))
    return answer.headers["Location"].removeprefix("/v1/uploads/")


def waste(*uploads: str, **more: Any) -> dict[str, Any]:
    """Return a job about the waste on uploads."""
    return {"task": "waste", "items": [{"parts": {"image": {"upload": one}}} for one in uploads], **more}


def standing(client: Asked, left: httpx.Response, **headers: str) -> dict[str, Any]:
    """Return how a job that was left stands."""
    assert left.status_code == 202, left.text
    answer = client.get(left.headers["Location"], headers=headers)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def ended(client: Asked, left: httpx.Response, seconds: float = 60, **headers: str) -> dict[str, Any]:
    """Return a job that was left, once it has ended."""
    deadline = time.monotonic() + seconds
    while not (job := standing(client, left, **headers))["ended"]:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job
