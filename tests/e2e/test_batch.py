"""The client's jobs and `maskgate batch`, against a gateway that is a process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from maskgate_client import AsyncClient, Client, JobItem, JobStatus
from maskgate_client.cli import main

from tests.support.pictures import encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial import write_trivial_model
from tests.support.trivial_waste import write_trivial_waste

pytestmark = pytest.mark.e2e

PHOTOS = [encode(noise(90, 90, seed=seed)) for seed in range(5)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_trivial_waste(root)
    write_trivial_model(root, "bd-lite0")
    return root


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with gateway(models, JOBS_FOLDER=str(tmp_path_factory.mktemp("jobs"))) as process:
        yield process


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, photo in enumerate(PHOTOS):
        (folder / f"photo{number}.png").write_bytes(photo)
    return folder


def run(server: GatewayProcess, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maskgate_client", *map(str, arguments), "--url", server.address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_job_is_left_followed_and_fetched(server: GatewayProcess) -> None:
    told: list[Any] = []
    with Client(server.address) as client:
        job = client.submit("waste", [{"image": photo} for photo in (*PHOTOS, b"none")], accept="application/json")
        events = list(job.events())
        status = job.wait(progress=told.append)
        assert isinstance(events[-1], JobStatus)
        assert events[-1] == status
        assert (status.state, status.total, status.done, status.failed) == ("done", 6, 5, 1)
        last = {event.number: event.state for event in events if isinstance(event, JobItem)}
        assert last == {0: "done", 1: "done", 2: "done", 3: "done", 4: "done", 5: "failed"}
        assert (told[-1].stage, told[-1].done, told[-1].total) == ("items", 6, 6)
        results = list(client.job(job.id).results())
        for photo, (item, content) in zip(PHOTOS, results, strict=False):
            assert item.result
            assert item.result.model == "waste-lite0"
            assert content is not None
            assert json.loads(content)["classes"][0]["pixels"] == client.waste(photo).classes[0].pixels
        failed, nothing = results[-1]
        assert nothing is None
        assert failed.problem
        assert failed.problem["code"] == "unsupported-media"
        with pytest.raises(ValueError, match="item 5 is failed"):
            job.result(failed)
        assert client.jobs()[0].id == job.id
        assert job.cancel() is None, "it had ended: it is forgotten"
        assert job.id not in [each.id for each in client.jobs()]


def test_the_asynchronous_client_has_the_same(server: GatewayProcess) -> None:
    async def leave() -> tuple[list[str], list[bytes | None]]:
        async with AsyncClient(server.address) as client:
            job = await client.submit("waste", [{"image": photo} for photo in PHOTOS[:2]])
            states = [event.state async for event in job.events()]
            assert (await job.wait()).done == 2
            return states, [content async for _, content in client.job(job.id).results()]

    states, contents = asyncio.run(leave())
    assert states[-1] == "done"
    assert all(content and content.startswith(b"\x89PNG") for content in contents)


def test_a_folder_is_answered_and_a_second_run_asks_for_nothing(
    server: GatewayProcess, photos: Path, tmp_path: Path
) -> None:
    (photos / "bad.png").write_bytes(b"none")
    out = tmp_path / "out"
    arguments = (
        "batch",
        photos,
        "--task",
        "waste",
        "--out",
        out,
        "--accept",
        "application/json",
        "--set",
        "min_area=9",
    )
    first = run(server, *arguments)
    assert first.returncode == 1, first.stderr
    assert "bad: Images are read as PNG or JPEG" in first.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["counts"] == {"done": 5, "failed": 1}
    with Client(server.address) as client:
        for number, photo in enumerate(PHOTOS):
            saved = json.loads((out / f"photo{number}.json").read_text())
            assert saved["regions"] == client.waste(photo, min_area=9).document["regions"]
        assert 6 not in [job.total for job in client.jobs()], "what was fetched is forgotten"
    written = {path.name: path.stat().st_mtime_ns for path in out.glob("photo*")}
    (photos / "bad.png").write_bytes(PHOTOS[0])
    assert run(server, *arguments).returncode == 1, "what failed is not asked for again"
    assert run(server, *arguments, "--again").returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("photo*")} == written
    other = run(server, *arguments, "--set", "min_area=8")
    assert (other.returncode, "another batch" in other.stderr) == (2, True)


def test_pairs_are_found_and_a_table_names_others(server: GatewayProcess, tmp_path: Path) -> None:
    for number in range(2):
        for when in ("pre", "post"):
            (tmp_path / f"town_{number:08d}_{when}_disaster.png").write_bytes(PHOTOS[number])
    (tmp_path / "list.csv").write_text(
        "name,pre,post\nmine,town_00000000_pre_disaster.png,town_00000001_post_disaster.png\n"
    )
    for source, names in (
        (tmp_path, ["town_00000000_disaster", "town_00000001_disaster"]),
        (tmp_path / "list.csv", ["mine"]),
    ):
        out = tmp_path / f"out-{len(names)}"
        done = run(server, "batch", source, "--task", "damage", "--out", out, "--json")
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["name"] for line in lines] == names
        assert all((out / line["file"]).stat().st_size for line in lines)


def test_a_batch_goes_on_in_a_gateway_that_was_killed_meanwhile(models: Path, tmp_path: Path, photos: Path) -> None:
    """The client too is begun anew: it finds the job that it left."""
    arguments = ["batch", str(photos), "--task", "waste", "--out", str(tmp_path / "out")]
    with gateway(models, JOBS_FOLDER=str(tmp_path / "jobs")) as server:
        with Client(server.address) as client:
            job = client.submit("waste", [{"image": path} for path in sorted(photos.iterdir())])
        server.process.kill()
        server.process.wait()
    notes = tmp_path / "out" / ".maskgate-batch.json"
    with gateway(models, JOBS_FOLDER=str(tmp_path / "jobs")) as server:
        assert main([*arguments[:-1], str(tmp_path / "scratch"), "--url", server.address]) == 0
        of = json.loads((tmp_path / "scratch" / ".maskgate-batch.json").read_text())["of"]
        notes.parent.mkdir()
        notes.write_text(json.dumps({"of": of, "jobs": {"0,1,2,3,4": job.id}, "done": {}}))
        assert main([*arguments, "--url", server.address]) == 0
        with Client(server.address) as client:
            assert client.jobs() == ()
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["counts"] == {"done": 5}
    assert os.listdir(tmp_path / "jobs" / "uploads") == []


def test_what_is_no_task_is_said(server: GatewayProcess, photos: Path, tmp_path: Path) -> None:
    said = run(server, "batch", photos, "--task", "weather", "--out", tmp_path / "out")
    assert said.returncode == 2
    assert "no task 'weather'; it has ct, damage" in said.stderr
