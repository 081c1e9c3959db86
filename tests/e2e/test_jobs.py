"""Jobs of a gateway that is a process: it is killed, it is several, and a real client of tus uploads to it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.crew import connection_to_each, get, until, workers
from tests.support.emergencies import Emergencies
from tests.support.jobs import ended, standing, upload, waste
from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model
from tests.support.trivial_waste import write_trivial_waste

pytestmark = pytest.mark.e2e

JSON = {"Accept": "application/json"}
ITEMS = 60
KILLS = 4
DEADLINE_SECONDS = 20.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_waste(root)
    write_trivial_model(root, "bd-lite0")
    return root


class _Again(httpx.HTTPTransport):
    """Asks again where a connection led to a process that was killed, until another listens."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + 30
        while True:
            try:
                return super().handle_request(request)
            except httpx.TransportError:
                if request.method != "GET" or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


@contextmanager
def keeping(models: Path, folder: Path, **settings: str) -> Iterator[tuple[GatewayProcess, httpx.Client]]:
    """Run a gateway that keeps jobs in a folder, and yield it and a client of it."""
    with (
        gateway(models, JOBS_FOLDER=str(folder), ENGINE_LANES="1", WORK_THREADS="2", **settings) as server,
        httpx.Client(base_url=server.address, timeout=60, transport=_Again()) as client,
    ):
        yield server, client


def results(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of each result's file."""
    found = {}
    for body in (folder / "results").rglob("body"):
        stat = body.stat()
        found[body.parent.name] = (stat.st_ino, stat.st_mtime_ns)
    return found


def leave(client: httpx.Client, pre: bytes, posts: list[bytes]) -> httpx.Response:
    """Leave a job of a pair for each of `posts`, all of which share one upload."""
    shared = upload(client, pre)
    items = [{"parts": {"pre": {"upload": shared}, "post": {"upload": upload(client, post)}}} for post in posts]
    left = client.post("/v1/jobs", json={"task": "damage", "accept": "application/json", "items": items})
    assert left.status_code == 202, left.text
    return left


def whole(client: httpx.Client, left: httpx.Response) -> list[dict[str, Any]]:
    """Return all items of a job."""
    items: list[dict[str, Any]] = client.get(f"{left.headers['Location']}?count=1000").json()["items"]
    return items


def kill_after(
    client: httpx.Client, server: GatewayProcess, left: httpx.Response, count: int, folder: Path
) -> tuple[dict[str, tuple[int, int]], dict[int, int]]:
    """Kill the gateway once so many items are done; return the results there were, and how often those were begun."""
    until(lambda: standing(client, left)["done"] >= count, "no progress", 120)
    there = results(folder)
    tries = {item["number"]: item["tries"] for item in whole(client, left) if item["state"] == "done"}
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    return there, tries


def test_a_job_outlives_the_gateway_however_often_it_is_killed(models: Path, tmp_path: Path) -> None:
    pre, posts = encode(noise(512, 512, seed=99)), [encode(noise(512, 512, seed=n)) for n in range(ITEMS)]
    left: httpx.Response | None = None
    stored: dict[str, tuple[int, int]] = {}
    tries: dict[int, int] = {}
    with Emergencies(encode(noise(256, 256)), DEADLINE_SECONDS) as urgent:
        for kill in range(KILLS):
            with keeping(models, tmp_path) as (server, client):
                urgent.address = server.address
                left = left or leave(client, pre, posts)
                there, begun = kill_after(client, server, left, (kill + 1) * 12 - 2, tmp_path)
                assert stored.items() <= there.items(), "nothing that was stored is written again"
                stored, tries = there, begun | tries
        with keeping(models, tmp_path) as (server, client):
            urgent.address = server.address
            assert left is not None
            job, items = ended(client, left, 240), whole(client, left)
            assert (job["state"], job["total"], job["done"], job["failed"]) == ("done", ITEMS, ITEMS, 0)
            there = results(tmp_path)
            assert stored.items() <= there.items()
            assert len(there) == ITEMS
            assert {number: items[number]["tries"] for number in tries} == tries, "what was done was not begun again"
            assert sum(item["tries"] for item in items) <= ITEMS + 2 * KILLS, "a kill takes what ran, and two ran"
            for item, post in zip(items, posts, strict=True):
                kept = client.get(item["result"]["url"]).json()
                online = client.post("/v1/damage", files={"pre": pre, "post": post}, headers=JSON)
                assert kept == online.json()
            urgent.end()  # before the gateway drains: it refuses what comes then
    assert {status for status, _ in urgent.answers} == {200}
    assert max(seconds for _, seconds in urgent.answers) < DEADLINE_SECONDS
    assert len(urgent.answers) > 20
    assert list((tmp_path / "uploads").iterdir()) == list((tmp_path / "making").iterdir()) == []


def test_of_several_processes_one_runs_the_jobs_and_another_when_it_dies(models: Path, tmp_path: Path) -> None:
    pre, posts = encode(noise(512, 512, seed=99)), [encode(noise(512, 512, seed=n)) for n in range(16)]
    with keeping(models, tmp_path, SERVER_WORKERS="2") as (server, client):
        left = leave(client, pre, posts)
        runners = set()
        for count in (3, 8):
            until(lambda count=count: standing(client, left)["done"] >= count, "no progress", 120)  # type: ignore[misc]
            holder = lock_holder(tmp_path / "runner.lock")
            assert holder in workers(server)
            runners.add(holder)
            os.kill(holder, signal.SIGKILL)
            until(lambda: len(workers(server)) == 2, "it is not replaced")
        assert len(runners) == 2
        job = ended(client, left, 120)
        assert (job["done"], job["failed"]) == (16, 0)
        with connection_to_each(server) as connections:
            for connection in connections.values():
                for path in (left.headers["Location"], job["items"][3]["result"]["url"]):
                    assert get(connection, path)[0] == 200, "each process knows each job"


def lock_holder(path: Path) -> int:
    """Return the id of the process that has a file locked, by what Linux says."""
    inode = path.stat().st_ino
    found: list[int] = []

    def look() -> bool:
        lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
        found[:] = [int(line[4]) for line in lines if "->" not in line and line[5].rpartition(":")[2] == str(inode)]
        return bool(found)

    until(look, "nobody runs the jobs")
    return found[0]


def test_sigterm_hands_what_runs_to_the_next_process(models: Path, tmp_path: Path) -> None:
    pre, posts = encode(noise(512, 512, seed=99)), [encode(noise(512, 512, seed=n)) for n in range(12)]
    with keeping(models, tmp_path, SERVER_DRAIN_DELAY_SECONDS="0") as (server, client):
        left = leave(client, pre, posts)
        until(lambda: standing(client, left)["done"] >= 2, "no progress")
        with client.stream("GET", f"{left.headers['Location']}/events") as followed:
            server.terminate()
            assert "job" in followed.read().decode(), "who follows is let go"
        assert server.process.wait(30) == 0
    with keeping(models, tmp_path) as (_, client):
        job = ended(client, left)
        assert job["done"] == 12
        assert {item["tries"] for item in whole(client, left)} == {1}, "what had begun was put back"


def test_a_client_of_tus_uploads_and_goes_on_after_a_crash(models: Path, tmp_path: Path) -> None:
    tusclient = pytest.importorskip("tusclient.client", reason="tuspy is not installed")
    photo = encode(noise(700, 700))
    piece = len(photo) // 4
    with keeping(models, tmp_path) as (server, client):
        tus = tusclient.TusClient(f"{server.address}/v1/uploads")
        begun = tus.uploader(
            file_stream=BytesIO(photo), chunk_size=piece, upload_checksum=True, metadata={"filename": "smith.png"}
        )
        begun.upload_chunk()
        assert begun.offset == piece
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        path = begun.url.removeprefix(server.address)
    with keeping(models, tmp_path) as (server, client):
        tus = tusclient.TusClient(f"{server.address}/v1/uploads")
        again = tus.uploader(file_stream=BytesIO(photo), chunk_size=piece, url=server.address + path)
        assert again.offset == piece, "what had arrived is there"
        again.upload()
        job = ended(client, client.post("/v1/jobs", json=waste(path.rpartition("/")[2])))
        online = client.post("/v1/waste", files={"image": photo})
        assert client.get(job["items"][0]["result"]["url"]).content == online.content
    assert "smith" not in "".join(server.output)
