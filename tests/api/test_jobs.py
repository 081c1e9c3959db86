"""`/v1/jobs` and `Prefer: respond-async`: jobs are left, followed, fetched and cancelled."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.errors import Overloaded
from gateway.jobs import foreman
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.crew import until
from tests.support.films import dicom as chest_dicom
from tests.support.jobs import ended, standing, upload, waste
from tests.support.pictures import encode, noise

PHOTO, OTHER = encode(noise(64, 96)), encode(noise(80, 70, seed=5))
ASYNC = {"Prefer": "respond-async"}
Start = Callable[..., AppClient]


@pytest.fixture
def keeper(start: Start, tmp_path: Path) -> AppClient:
    """Return a client of an app that keeps jobs."""
    return start(jobs={"folder": tmp_path / "jobs"})


@pytest.fixture
def calls(keeper: AppClient, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that gets an entry for every batch that the models run."""
    ran: list[None] = []
    infer = keeper.services.engine.infer

    async def counting(*arguments: Any) -> Any:
        ran.append(None)
        return await infer(*arguments)

    monkeypatch.setattr(keeper.services.engine, "infer", counting)
    return ran


def events(text: str) -> list[tuple[str, str, Any]]:
    """Return the name, the id and the data of each event of a stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def test_a_job_answers_each_item_as_the_task_does(keeper: AppClient) -> None:
    photos = [PHOTO, OTHER]
    left = keeper.post("/v1/jobs", json=waste(*(upload(keeper, photo) for photo in photos)))
    assert left.json()["state"] in ("queued", "running")
    assert left.json()["total"] == 2
    job = ended(keeper, left)
    assert (job["state"], job["total"], job["done"], job["failed"]) == ("done", 2, 2, 0)
    for item, photo in zip(job["items"], photos, strict=True):
        online = keeper.post("/v1/waste", files={"image": photo})
        kept = keeper.get(item["result"]["url"])
        assert kept.status_code == 200
        assert kept.content == online.content
        assert kept.headers["content-type"] == item["result"]["media_type"] == online.headers["content-type"]
        assert kept.headers["Maskgate-Digest"] == online.headers["Maskgate-Digest"]
        assert item["result"]["digest"] == f"sha256:{hashlib.sha256(online.content).hexdigest()}"
        assert (item["tries"], item["problem"], item["progress"]) == (1, None, None)
    assert keeper.get("/v1/jobs").json()["jobs"][0]["id"] == job["id"]


def test_parameters_and_accept_are_the_tasks(keeper: AppClient) -> None:
    asked = {"parameters": {"min_area": 5, "include": ["overlay"]}, "accept": "application/json"}
    job = ended(keeper, keeper.post("/v1/jobs", json=waste(upload(keeper, PHOTO), **asked)))
    online = keeper.post(
        "/v1/waste?min_area=5&include=overlay", files={"image": PHOTO}, headers={"Accept": "application/json"}
    )
    assert keeper.get(job["items"][0]["result"]["url"]).json() == online.json()


def test_a_part_may_be_json_in_the_job(keeper: AppClient) -> None:
    prompt = {"box": [10, 10, 50, 50]}
    parts = {"image": {"upload": upload(keeper, PHOTO)}, "prompt": {"json": prompt}}
    job = ended(keeper, keeper.post("/v1/jobs", json={"task": "interactive", "items": [{"parts": parts}]}))
    online = keeper.post("/v1/interactive", files={"image": PHOTO, "prompt": json.dumps(prompt).encode()})
    assert online.status_code == 200, online.text
    assert keeper.get(job["items"][0]["result"]["url"]).content == online.content


def test_items_may_have_parameters_of_their_own(keeper: AppClient) -> None:
    parts = {"image": {"upload": upload(keeper, PHOTO)}}
    items = [{"parts": parts, "parameters": {"min_area": area}} for area in (3, 4000)]
    job = ended(keeper, keeper.post("/v1/jobs", json={"task": "waste", "accept": "application/json", "items": items}))
    for item, area in zip(job["items"], (3, 4000), strict=True):
        headers = {"Accept": "application/json"}
        online = keeper.post(f"/v1/waste?min_area={area}", files={"image": PHOTO}, headers=headers)
        assert keeper.get(item["result"]["url"]).json() == online.json()
    wrong = [{"parts": parts, "parameters": {"min_area": 0}}]
    assert keeper.post("/v1/jobs", json={"task": "waste", "items": wrong}).json()["code"] == "parameter-invalid"


def test_the_only_part_may_be_the_body_itself(keeper: AppClient) -> None:
    film = chest_dicom()
    headers = {"Content-Type": "application/dicom", **ASYNC}
    job = ended(keeper, keeper.post("/v1/radiograph", content=film, headers=headers))
    online = keeper.post("/v1/radiograph", files={"image": film})
    assert keeper.get(job["items"][0]["result"]["url"]).json() == online.json()


def test_without_a_body_the_parameters_may_say_it_all(keeper: AppClient) -> None:
    """The route judges; here there is no server that they name, which is no matter of the caller's mistake."""
    query = "source=dicomweb&study=1.2&series=1.3"
    refused = keeper.post("/v1/ct?source=dicomweb", headers=ASYNC)
    assert (refused.status_code, refused.json()["code"]) == (422, "parameter-invalid")
    job = ended(keeper, keeper.post(f"/v1/ct?{query}", headers=ASYNC))
    assert job["items"][0]["problem"]["code"] == "pacs-missing"
    item = {"parameters": dict(part.split("=") for part in query.split("&"))}
    job = ended(keeper, keeper.post("/v1/jobs", json={"task": "ct", "items": [item]}))
    assert job["items"][0]["problem"]["code"] == "pacs-missing"


@pytest.mark.parametrize(
    ("path", "files", "accept"),
    [
        ("/v1/damage?overlay=true", {"pre": PHOTO, "post": PHOTO}, "image/png"),
        ("/v1/waste", {"image": PHOTO}, "application/json"),
        ("/v1/radiograph", {"image": encode(noise(96, 96)[..., 0])}, "application/json"),
    ],
)
def test_any_task_is_left_as_a_job_where_that_is_preferred(
    keeper: AppClient, path: str, files: dict[str, bytes], accept: str
) -> None:
    left = keeper.post(path, files=files, headers={"Accept": accept, "Prefer": "wait=5, Respond-Async"})
    assert left.headers["Preference-Applied"] == "respond-async"
    job = ended(keeper, left)
    assert job["done"] == 1, job
    online = keeper.post(path, files=files, headers={"Accept": accept})
    assert keeper.get(job["items"][0]["result"]["url"]).content == online.content
    route = path.partition("?")[0]
    counted = keeper.sample("maskgate_http_requests_total", route=route, method="POST", status_class="2xx")
    assert counted == 2, "the request that left the job, and the one that did not"


def test_a_preference_is_passed_over_where_no_jobs_are_kept(client: AppClient) -> None:
    answer = client.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    refused = client.post("/v1/jobs", json=waste("x"))
    assert (refused.status_code, refused.json()["code"]) == (501, "jobs-off")
    assert client.post("/v1/uploads", headers={"Upload-Length": "3"}).status_code == 501


def test_a_key_of_idempotency_stands_for_one_job(keeper: AppClient, calls: list[None]) -> None:
    body, key = waste(upload(keeper, PHOTO)), {"Idempotency-Key": "mine"}
    first = keeper.post("/v1/jobs", json=body, headers=key)
    ended(keeper, first)
    ran = len(calls)
    again = keeper.post("/v1/jobs", json=body, headers=key)
    # The upload is gone by now, and the answer the same nevertheless.
    assert (again.status_code, again.headers["Location"]) == (202, first.headers["Location"])
    other = keeper.post("/v1/jobs", json=body | {"accept": "application/json"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(calls) == ran
    assert keeper.post("/v1/jobs", json=body, headers={"Idempotency-Key": "x" * 256}).status_code == 400


def test_a_key_of_idempotency_holds_for_a_request_to_a_task_too(keeper: AppClient) -> None:
    key = ASYNC | {"Idempotency-Key": "mine"}
    first, again = (keeper.post("/v1/waste", files={"image": PHOTO}, headers=key) for _ in range(2))
    assert first.headers["Location"] == again.headers["Location"]
    for path, photo in (("/v1/waste", OTHER), ("/v1/waste?min_area=3", PHOTO)):
        other = keeper.post(path, files={"image": photo}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"task": "weather"}, 422, "parameter-invalid", "/task"),
        ({"items": []}, 422, "parameter-invalid", "/items"),
        ({"items": [{"parts": {}}]}, 422, "parameter-invalid", "/items/0/parts"),
        ({"items": [{"parts": {"image": {"upload": "x", "url": "y"}}}]}, 422, "parameter-invalid", None),
        ({"items": [{"parts": {"image": {"upload": "x" * 32}}}]}, 404, "upload-not-found", None),
        ({"parameters": {"min_area": 0}}, 422, "parameter-invalid", "/min_area"),
        ({"parameters": {"model": "none"}}, 404, "model-not-found", None),
        ({"accept": "text/plain"}, 406, "not-acceptable", "/accept"),
        ({"colour": "red"}, 422, "parameter-invalid", "/colour"),
    ],
)
def test_what_no_item_could_be_answered_with_is_refused_at_once(
    keeper: AppClient, change: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    answer = keeper.post("/v1/jobs", json=waste(upload(keeper, PHOTO)) | change)
    document = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), document
    assert answer.headers["content-type"] == "application/problem+json"
    if pointer:
        assert document["errors"][0]["pointer"] == pointer
    assert keeper.get("/v1/jobs").json()["jobs"] == []


def test_more_is_refused_of_jobs(start: Start, tmp_path: Path) -> None:
    keeper = start(jobs={"folder": tmp_path, "items": 2, "bytes": 3 * len(PHOTO)}, limits={"json_bytes": 500})
    one = upload(keeper, PHOTO)
    many = keeper.post("/v1/jobs", json=waste(one, one, one))
    assert (many.status_code, many.json()["limit"]) == (413, 2)
    long = keeper.post("/v1/jobs", json=waste(one, accept="x" * 600))
    assert (long.status_code, long.json()["limit"]) == (413, 500)
    assert keeper.post("/v1/jobs", content=b"{").status_code == 400
    begun = keeper.post("/v1/uploads", headers={"Upload-Length": str(len(PHOTO))}).headers["Location"]
    unfinished = keeper.post("/v1/jobs", json=waste(begun.rpartition("/")[2]))
    assert (unfinished.status_code, unfinished.json()["code"]) == (409, "upload-unfinished")
    full = keeper.post("/v1/uploads", headers={"Upload-Length": str(2 * len(PHOTO))})
    assert (full.status_code, full.json()["code"]) == (503, "jobs-full")
    # The same of a request that is left: nothing of it stays.
    left = keeper.post("/v1/waste", files={"image": encode(noise(400, 400))}, headers=ASYNC)
    assert (left.status_code, left.json()["code"]) == (503, "jobs-full")
    assert len(list((tmp_path / "uploads").iterdir())) == 2


def test_an_item_that_fails_stops_no_other(keeper: AppClient) -> None:
    uploads = [upload(keeper, PHOTO), upload(keeper, b"no image"), upload(keeper, OTHER)]
    job = ended(keeper, keeper.post("/v1/jobs", json=waste(*uploads)))
    assert [item["state"] for item in job["items"]] == ["done", "failed", "done"]
    problem = job["items"][1]["problem"]
    online = keeper.post("/v1/waste", files={"image": b"no image"}).json()
    assert {name: problem[name] for name in ("code", "status", "errors")} == {
        name: online[name] for name in ("code", "status", "errors")
    }
    missing = keeper.get(f"/v1/jobs/{job['id']}/results/1")
    assert (missing.status_code, missing.json()["code"]) == (404, "result-not-found")
    assert keeper.get(f"/v1/jobs/{job['id']}/results/{1 << 70}").status_code == 404

    def counted(outcome: str) -> float:
        return keeper.sample("maskgate_job_items_total", task="waste", outcome=outcome)

    until(lambda: (counted("failed"), counted("done")) == (1, 2), "not counted", 10)


def test_results_never_change_and_are_given_in_ranges(keeper: AppClient) -> None:
    job = ended(keeper, keeper.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC))
    url = job["items"][0]["result"]["url"]
    whole = keeper.get(url)
    assert "immutable" in whole.headers["Cache-Control"]
    digest = hashlib.sha256(whole.content)
    assert whole.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert whole.headers["Repr-Digest"].startswith("sha-256=:")
    part = keeper.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Repr-Digest"] == whole.headers["Repr-Digest"]
    moved = keeper.get(url, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
    assert (moved.status_code, moved.content) == (200, whole.content)
    known = keeper.get(url, headers={"If-None-Match": f'"x", {whole.headers["ETag"]}'})
    assert (known.status_code, known.content) == (304, b"")
    assert keeper.get(url, headers={"Range": "bytes=9999999-"}).status_code == 416


def test_what_was_stored_is_not_computed_again(keeper: AppClient, calls: list[None]) -> None:
    first = ended(keeper, keeper.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC))
    ran = len(calls)
    assert ran
    again = ended(keeper, keeper.post("/v1/jobs", json=waste(upload(keeper, PHOTO), upload(keeper, PHOTO))))
    assert len(calls) == ran
    assert {item["result"]["digest"] for item in again["items"]} == {first["items"][0]["result"]["digest"]}
    ended(keeper, keeper.post("/v1/waste?min_area=7", files={"image": PHOTO}, headers=ASYNC))
    assert len(calls) == 2 * ran, "another parameter may change the answer"


def test_results_shared_by_two_jobs_outlive_the_first(keeper: AppClient, tmp_path: Path) -> None:
    first, second = (ended(keeper, keeper.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC)) for _ in range(2))
    assert keeper.delete(f"/v1/jobs/{first['id']}").status_code == 204
    assert keeper.get(f"/v1/jobs/{first['id']}").status_code == 404
    assert keeper.get(second["items"][0]["result"]["url"]).status_code == 200
    assert keeper.delete(f"/v1/jobs/{second['id']}").status_code == 204
    assert list((tmp_path / "jobs" / "results").rglob("body")) == []


def test_items_are_shown_by_pages(keeper: AppClient) -> None:
    one = upload(keeper, PHOTO)
    job = ended(keeper, keeper.post("/v1/jobs", json=waste(*[one] * 5)))
    page = keeper.get(f"/v1/jobs/{job['id']}?first=1&count=2").json()
    assert [item["number"] for item in page["items"]] == [1, 2]
    following = keeper.get(page["more"]).json()
    assert [item["number"] for item in following["items"]] == [3, 4]
    assert following["more"] is None


def test_events_tell_each_change_and_go_on_where_they_broke_off(keeper: AppClient) -> None:
    left = keeper.post("/v1/jobs", json=waste(upload(keeper, PHOTO), upload(keeper, b"no image")))
    path = f"{left.headers['Location']}/events"
    answer = keeper.get(path)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert [data for name, _, data in told if name == "job"][-1]["state"] == "done"
    last = {data["number"]: data["state"] for name, _, data in told if name == "item"}
    assert last == {0: "done", 1: "failed"}
    (*_, seen) = (event for name, event, _ in told if name == "item")
    again = events(keeper.get(path, headers={"Last-Event-ID": seen}).text)
    assert [name for name, *_ in again] == ["job"]
    whole = events(keeper.get(path, headers={"Last-Event-ID": "nonsense"}).text)
    assert [name for name, *_ in whole] == ["item", "item", "job"]
    assert keeper.get(f"/v1/jobs/{'x' * 32}/events").status_code == 404


@contextmanager
def endless(keeper: AppClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let models run without an end while inside; yield what became of the runs."""
    said: list[str] = []

    async def infer(*_: object) -> dict[str, Any]:
        said.append("began")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            said.append("ended")
            raise
        return {}

    with monkeypatch.context() as patched:
        patched.setattr(keeper.services.engine, "infer", infer)
        yield said


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_cancelling_ends_what_the_models_run(
    keeper: AppClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with endless(keeper, monkeypatch) as said:
        left = keeper.post("/v1/jobs", json=waste(*(upload(keeper, PHOTO) for _ in range(4))))
        keeper.run(_until, lambda: said.count("began") == 2)
        keeper.run(asyncio.sleep, 0.6)
        job = standing(keeper, left)
        assert (job["running"], job["waiting"]) == (2, 2)
        assert keeper.sample("maskgate_job_items_waiting") == 2
        assert job["items"][0]["progress"]["stage"] == "infer"
        cancelled = keeper.delete(left.headers["Location"])
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        job = ended(keeper, left)
        assert said == ["began"] * 2 + ["ended"] * 2
    assert (job["state"], job["cancelled"]) == ("cancelled", 4)
    assert keeper.sample("maskgate_inflight_requests") == keeper.sample("maskgate_inflight_bytes") == 0
    assert list((tmp_path / "jobs" / "uploads").iterdir()) == []
    assert keeper.post("/v1/waste", files={"image": PHOTO}).status_code == 200


def test_jobs_wait_while_there_is_no_room(keeper: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    admission = keeper.services.admission
    asked: list[Any] = []
    admit = admission.admit

    def full(kind: Any, *arguments: Any) -> Any:
        if kind.task == "waste" and len(asked) < 3:
            asked.append(kind)
            raise Overloaded("Full.", retry_after=0)
        return admit(kind, *arguments)

    monkeypatch.setattr(admission, "admit", full)
    job = ended(keeper, keeper.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC))
    assert (len(asked), job["done"], job["items"][0]["tries"]) == (3, 1, 1)


def test_jobs_fail_once_patience_is_over(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = start(jobs={"folder": tmp_path, "patience_seconds": 0.001})
    admit = keeper.services.admission.admit

    def full(kind: Any, *arguments: Any) -> Any:
        if kind.task == "waste":
            raise Overloaded("Full.", retry_after=0)
        return admit(kind, *arguments)

    monkeypatch.setattr(keeper.services.admission, "admit", full)
    job = ended(keeper, keeper.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC))
    assert job["items"][0]["problem"]["code"] == "overloaded"


def test_a_process_that_leaves_hands_its_items_to_the_next(
    start: Start, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        models={"repository": repository, "damage": "trivial"},
        jobs={"folder": tmp_path},
    )
    with running(create_app(settings)) as first, endless(first, monkeypatch) as said:
        left = first.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC)
        first.run(_until, lambda: bool(said))
    assert said == ["began", "ended"]
    second = start(jobs={"folder": tmp_path})
    job = ended(second, left)
    assert (job["done"], job["items"][0]["tries"]) == (1, 1)


def test_jobs_are_forgotten_when_their_time_is_over(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreman, "SWEEP_SECONDS", 0.2)
    keeper = start(jobs={"folder": tmp_path, "keep_seconds": 0.5, "upload_seconds": 0.5})
    unused = upload(keeper, OTHER)
    left = keeper.post("/v1/waste", files={"image": PHOTO}, headers=ASYNC)
    keeper.run(_until, lambda: not any(path.is_file() for path in (tmp_path / "uploads").iterdir()))
    keeper.run(asyncio.sleep, 1.0)
    assert keeper.get(left.headers["Location"]).status_code == 404
    assert list((tmp_path / "results").rglob("body")) == []
    assert keeper.request("HEAD", f"/v1/uploads/{unused}").status_code == 404


def test_nothing_that_a_caller_names_is_logged(keeper: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    item = {"name": "smith-john", "parts": {"image": {"upload": upload(keeper, b"no image")}}}
    named = {"Upload-Metadata": "filename c21pdGgtam9obi5wbmc="}
    keeper.post("/v1/uploads", headers={"Upload-Length": "3", **named})
    job = ended(keeper, keeper.post("/v1/jobs", json={"task": "waste", "items": [item, item]}))
    assert [each["name"] for each in job["items"]] == ["smith-john"] * 2

    def ours() -> str:
        return "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("gateway"))

    # The books know of it before the log does.
    until(lambda: f"job {job['id']} item 1 failed" in ours(), "nothing is logged", 10)
    assert "smith" not in ours()
    assert "c21pdGgt" not in ours()
