"""Jobs, as tests leave and await them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.app_client import AppClient

BYTES = {"Content-Type": "application/offset+octet-stream"}
"""What the bytes of an upload are sent as."""


Asked = AppClient | httpx.Client


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


def standing(client: Asked, left: httpx.Response, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return how a job that was left stands."""
    assert left.status_code == 202, left.text
    answer = client.get(left.headers["Location"], headers=headers)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def ended(
    client: Asked, left: httpx.Response, seconds: float = 60, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a job that was left, once it has ended."""
    deadline = time.monotonic() + seconds
    while not (job := standing(client, left, headers))["ended"]:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job
