"""Jobs on a real Temporal server, with a real S3 between: whatever is killed, each item is answered, and rightly."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.crew import until
from tests.support.emergencies import Emergencies
from tests.support.job_engines import BUCKET, Killable, s3, temporal, worker
from tests.support.jobs import ended, standing, upload
from tests.support.pictures import encode, noise
from tests.support.ports import free_port
from tests.support.processes import gateway
from tests.support.trivial import write_trivial_model
from tests.support.trivial_waste import write_trivial_waste

pytest.importorskip("temporalio", reason="the extra `jobs` is not installed")
pytestmark = pytest.mark.e2e

ITEMS = 60
DEADLINE_SECONDS = 20.0
JSON = {"Accept": "application/json"}


@dataclass
class House:
    """Everything that runs: two gateways, the one of which keeps the jobs and the other answers workers; the rest."""

    folder: Path
    models: Path
    variables: dict[str, str]
    temporal: Killable
    s3: Killable
    workers: list[Killable]
    answering: Killable
    address: str

    def keeping(self) -> Any:
        """Return the context of a gateway that keeps jobs and hands them on."""
        settings = {name.removeprefix("MASKGATE_"): value for name, value in self.variables.items()}
        return gateway(self.models, ENGINE_LANES="1", WORK_THREADS="1", **settings)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    models = tmp_path / "models"
    models.mkdir()
    write_trivial_waste(models)
    write_trivial_model(models, "bd-lite0")
    with ExitStack() as stack:
        flow, place = temporal(stack, tmp_path)
        store, aws = s3(stack, tmp_path)
        for name, value in aws.items():
            monkeypatch.setenv(name, value)
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        variables = {
            "MASKGATE_JOBS_ENGINE": "temporal",
            "MASKGATE_JOBS_TEMPORAL": place,
            "MASKGATE_JOBS_OBJECTS": f"s3://{BUCKET}/test/",
            "MASKGATE_JOBS_GATEWAYS": address,
            "MASKGATE_JOBS_FOLDER": str(tmp_path / "jobs"),
            "MASKGATE_JOBS_AT_ONCE": "1",
        }
        answering = _answering(stack, models, port, tmp_path / "answering.log")
        workers = [worker(stack, _touched(tmp_path / f"worker{n}.log"), variables) for n in range(2)]
        yield House(tmp_path, models, variables, flow, store, workers, answering, address)


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _answering(stack: ExitStack, models: Path, port: int, log: Path) -> Killable:
    """Return a gateway that keeps no jobs, on a port that stays its own when it is begun again."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", str(port), "--models", str(models)]

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).is_success
        except httpx.HTTPError:
            return False

    few = {"MASKGATE_ENGINE_LANES": "1", "MASKGATE_WORK_THREADS": "2"}
    return Killable(stack, command, ready, log, few)


def leave(client: httpx.Client, pre: bytes, posts: list[bytes]) -> httpx.Response:
    shared = upload(client, pre)
    items = [{"parts": {"pre": {"upload": shared}, "post": {"upload": upload(client, post)}}} for post in posts]
    return client.post("/v1/jobs", json={"task": "damage", "accept": "application/json", "items": items})


def whole(client: httpx.Client, left: httpx.Response) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get(f"{left.headers['Location']}?count=1000").json()["items"]
    return items


def objects(house: House) -> list[str]:
    """Return what lies in the bucket below the tests' path."""
    listed = httpx.get(f"{os.environ['AWS_ENDPOINT']}/{BUCKET}?list-type=2&prefix=test/", timeout=10).text
    return [part.partition("</Key>")[0] for part in listed.split("<Key>")[1:]]


def test_sixty_items_outlive_whatever_is_killed(house: House) -> None:
    pre, posts = encode(noise(512, 512, seed=99)), [encode(noise(512, 512, seed=n)) for n in range(ITEMS)]
    with Emergencies(encode(noise(256, 256)), DEADLINE_SECONDS) as urgent:
        urgent.address = house.address

        def reach(client: httpx.Client, left: httpx.Response, count: int) -> None:
            until(lambda: standing(client, left)["done"] >= count, f"stuck before {count}", 180)

        with house.keeping() as server, httpx.Client(base_url=server.address, timeout=60) as client:
            left = leave(client, pre, posts)
            reach(client, left, 8)
            house.workers[0].kill()
            reach(client, left, 16)
            house.workers[0].begin()
            house.temporal.kill()
            time.sleep(1)
            house.temporal.begin()
            reach(client, left, 24)
            house.s3.kill()
            time.sleep(1)
            house.s3.begin()
            reach(client, left, 32)
            urgent.address = ""
            house.answering.kill()
            house.answering.begin()
            urgent.address = house.address
            reach(client, left, 40)
            server.process.kill()
            server.process.wait()
        with house.keeping() as server, httpx.Client(base_url=server.address, timeout=60) as client:
            job = ended(client, left, 240)
            assert (job["state"], job["done"], job["failed"]) == ("done", ITEMS, 0)
            items = whole(client, left)
            # Each of five kills may meet the same item.
            assert max(item["tries"] for item in items) <= 6
            for item, post in zip(items, posts, strict=True):
                kept = client.get(item["result"]["url"]).json()
                online = client.post("/v1/damage", files={"pre": pre, "post": post}, headers=JSON).json()
                assert kept == online
            until(lambda: objects(house) == [], "what was fetched is not deleted", 30)
    served = [line for line in house.answering.log.splitlines() if "POST /v1/damage 200" in line]
    assert ITEMS <= len(served) <= 2 * ITEMS, "none is computed more than twice"
    ids = [next(word for word in line.split() if word.startswith(job["id"])) for line in served]
    assert max(map(ids.count, ids)) <= 2
    assert {status for status, _ in urgent.answers} == {200}
    assert max(seconds for _, seconds in urgent.answers) < DEADLINE_SECONDS


def test_cancelling_ends_what_workers_ask_for(house: House) -> None:
    pre, posts = encode(noise(1500, 1500, seed=99)), [encode(noise(1500, 1500, seed=n)) for n in range(12)]
    with house.keeping() as server, httpx.Client(base_url=server.address, timeout=60) as client:
        # Progress comes with a heartbeat a second, and a quick gateway would have answered ten items by then.
        with house.answering.halted():
            left = leave(client, pre, posts)
            until(lambda: any(item["state"] == "running" for item in whole(client, left)), "nothing runs", 90)
            assert client.delete(left.headers["Location"]).json()["state"] == "cancelled"
        job = ended(client, left, 60)
        assert job["state"] == "cancelled"
        # A gateway that goes on may answer what each of the two workers has asked for before its worker hears of it.
        assert job["cancelled"] >= 10
        assert job["cancelled"] + job["done"] == 12
        until(lambda: objects(house) == [], "what was handed on is not deleted", 30)
        idle = "maskgate_inflight_requests 0.0"
        until(lambda: idle in httpx.get(f"{house.address}/metrics", timeout=30).text, "the gateway goes on", 30)


def test_an_item_that_fails_says_what_a_gateway_said(house: House) -> None:
    with house.keeping() as server, httpx.Client(base_url=server.address, timeout=60) as client:
        items = [
            {"parts": {"image": {"upload": upload(client, content)}}} for content in (b"none", encode(noise(64, 64)))
        ]
        left = client.post("/v1/jobs", json={"task": "waste", "items": items})
        job = ended(client, left, 60)
        assert [item["state"] for item in job["items"]] == ["failed", "done"]
        assert job["items"][0]["problem"]["code"] == "unsupported-media"
        assert "smith" not in "".join(server.output)
