"""`/v1/jobs` and `Prefer: respond-async`: jobs are left, followed, fetched, cancelled, and belong to their tenants."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.app_client import AppClient
from tests.support.pictures import encode, noise

PHOTO = encode(noise(64, 96))
BYTES = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def keeper(start: Callable[..., AppClient], tmp_path: Path) -> AppClient:
    """Return a client of an app that keeps jobs."""
    return start(jobs={"folder": tmp_path / "jobs"})


def upload(client: AppClient, content: bytes, **headers: str) -> str:
    answer = client.post(
        "/v1/uploads", content=content, headers={"Upload-Length": str(len(content)), **BYTES, **headers}
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["Upload-Offset"] == str(len(content))
    return answer.headers["Location"].removeprefix("/v1/uploads/")


def waste(*uploads: str, **more: Any) -> dict[str, Any]:
    return {"task": "waste", "items": [{"parts": {"image": {"upload": one}}} for one in uploads], **more}


def ended(client: AppClient, answer: httpx.Response, **headers: str) -> dict[str, Any]:
    """Return a job that was left, once it has ended."""
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 30
    while True:
        job: dict[str, Any] = client.get(answer.headers["Location"], headers=headers).json()
        if job["ended"]:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def test_a_job_answers_each_item_as_the_task_does(keeper: AppClient) -> None:
    photos = [PHOTO, encode(noise(80, 70, seed=5))]
    left = keeper.post("/v1/jobs", json=waste(*(upload(keeper, photo) for photo in photos)))
    assert left.json()["state"] in ("queued", "running")
    job = ended(keeper, left)
    assert (job["state"], job["total"], job["done"], job["failed"]) == ("done", 2, 2, 0)
    for item, photo in zip(job["items"], photos, strict=True):
        online = keeper.post("/v1/waste", files={"image": photo})
        kept = keeper.get(item["result"]["url"])
        assert kept.status_code == 200
        assert kept.content == online.content
        assert kept.headers["content-type"] == online.headers["content-type"]
        assert kept.headers["Maskgate-Digest"] == online.headers["Maskgate-Digest"]
        assert item["result"]["digest"] == f"sha256:{hashlib.sha256(online.content).hexdigest()}"
