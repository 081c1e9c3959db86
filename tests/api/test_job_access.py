"""Whose jobs and uploads they are, what a key needs for them, and how long its results are kept."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.access.keys import digest_of
from tests.support.app_client import AppClient
from tests.support.jobs import BYTES, ended, upload, waste
from tests.support.pictures import encode, noise

PHOTO = encode(noise(64, 64))
KEYS: dict[str, Any] = {
    "one": {"digest": digest_of("one"), "job_seconds": 3600},
    "two": digest_of("two"),
    "sorter": {"digest": digest_of("sorter"), "scopes": ["waste"]},
    "clerk": {"digest": digest_of("clerk"), "scopes": ["jobs"]},
    "reader": {"digest": digest_of("reader"), "scopes": ["jobs", "ct"]},
    "both": {"digest": digest_of("both"), "scopes": ["jobs", "waste"]},
}


@pytest.fixture(scope="module")
def guarded(start_session: Any, tmp_path_factory: pytest.TempPathFactory) -> AppClient:
    folder: Path = tmp_path_factory.mktemp("jobs")
    client: AppClient = start_session(auth={"keys": KEYS}, jobs={"folder": folder, "keep_seconds": 7200})
    return client


def key(name: str) -> dict[str, str]:
    return {"X-API-Key": name}


def leave(client: AppClient, name: str) -> dict[str, Any]:
    left = client.post("/v1/waste", files={"image": PHOTO}, headers=key(name) | {"Prefer": "respond-async"})
    return ended(client, left, headers=key(name))


def test_nobody_meets_anothers_jobs_and_uploads(guarded: AppClient) -> None:
    job, theirs = leave(guarded, "one"), upload(guarded, PHOTO, **key("one"))
    path = f"/v1/jobs/{job['id']}"
    for asked in ("", "/events", "/results/0"):
        assert guarded.get(path + asked, headers=key("one")).status_code == 200
        assert guarded.get(path + asked, headers=key("two")).json()["code"] == "job-not-found"
        assert guarded.get(path + asked).status_code == 401
    assert guarded.delete(path, headers=key("two")).status_code == 404
    assert guarded.request("HEAD", f"/v1/uploads/{theirs}", headers=key("two")).status_code == 404
    assert guarded.request("PATCH", f"/v1/uploads/{theirs}", headers=key("two") | BYTES).status_code == 404
    stolen = guarded.post("/v1/jobs", json=waste(theirs), headers=key("two"))
    assert (stolen.status_code, stolen.json()["code"]) == (404, "upload-not-found")
    assert job["id"] not in guarded.get("/v1/jobs", headers=key("two")).text


def test_equal_inputs_of_two_tenants_are_two_results(guarded: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(guarded, "one")
    ran: list[None] = []
    infer = guarded.services.engine.infer

    async def counting(*arguments: Any) -> Any:
        ran.append(None)
        return await infer(*arguments)

    monkeypatch.setattr(guarded.services.engine, "infer", counting)
    leave(guarded, "both")
    assert ran, "else how fast it was would say what others have sent"


def test_keys_of_idempotency_are_each_tenants_own(guarded: AppClient) -> None:
    headers = {"Prefer": "respond-async", "Idempotency-Key": "same"}
    places = {
        guarded.post("/v1/waste", files={"image": PHOTO}, headers=headers | key(name)).headers["Location"]
        for name in ("one", "two")
    }
    assert len(places) == 2


def test_leaving_a_job_needs_the_scope_of_jobs_and_that_of_the_task(guarded: AppClient) -> None:
    one = upload(guarded, PHOTO, **key("both"))
    assert guarded.post("/v1/jobs", json=waste(one), headers=key("both")).status_code == 202
    asked = {"files": {"image": PHOTO}}
    for name, scope in (("sorter", "jobs"), ("clerk", "waste")):
        headers = key(name)
        left = guarded.post("/v1/waste", headers=headers | {"Prefer": "respond-async"}, **asked)
        given = guarded.post("/v1/jobs", json=waste(one), headers=headers)
        for answer in (left, given):
            assert (answer.status_code, answer.json()["scope"]) == (403, scope)
    assert guarded.post("/v1/waste", headers=key("sorter"), **asked).status_code == 200
    refused = guarded.post("/v1/uploads", headers=key("sorter") | {"Upload-Length": "1"})
    assert (refused.status_code, refused.json()["scope"]) == (403, "jobs")
    damage = {"task": "damage", "items": [{"parts": {"pre": {"upload": one}, "post": {"upload": one}}}]}
    assert guarded.post("/v1/jobs", json=damage, headers=key("both")).json()["scope"] == "damage"


def test_a_job_opens_no_more_than_the_key_that_left_it(guarded: AppClient) -> None:
    item = {"parameters": {"source": "dicomweb", "study": "1.2", "series": "1.3"}}
    headers = key("reader")
    refused = guarded.post("/v1/jobs", json={"task": "ct", "items": [item]}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    first = {"parts": {"image": {"upload": upload(guarded, b"none", **headers)}}}
    left = guarded.post("/v1/jobs", json={"task": "ct", "items": [first, item]}, headers=headers)
    items = ended(guarded, left, headers=headers)["items"]
    assert [each["problem"]["code"] for each in items][1] == "forbidden"


@pytest.mark.parametrize(("name", "seconds"), [("one", 3600), ("two", 7200)])
def test_results_are_kept_as_long_as_their_tenant_has_it(guarded: AppClient, name: str, seconds: int) -> None:
    job = leave(guarded, name)
    kept = datetime.fromisoformat(job["expires"]) - datetime.fromisoformat(job["ended"])
    assert kept.total_seconds() == seconds


def test_one_tenant_cannot_take_all_the_room(start: Any, tmp_path: Path) -> None:
    client = start(auth={"keys": KEYS}, jobs={"folder": tmp_path, "bytes": 1000})
    begin = {"Upload-Length": "400"}
    codes = [client.post("/v1/uploads", headers=begin | key(name)).status_code for name in ("one", "one", "two")]
    assert codes == [201, 503, 201]
