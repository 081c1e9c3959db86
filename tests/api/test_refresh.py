"""Models come, change and go while the gateway serves."""

from __future__ import annotations

import asyncio
import io
import shutil
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.app import create_app
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.pictures import decode, encode, noise
from tests.support.trivial import damage_version, label_table, remove_version, write_trivial_model, write_version

PIXELS = noise(150, 100)
FILES = {"pre": encode(PIXELS), "post": encode(PIXELS)}
REFRESH = "/v1/repository/refresh"
REPORT: dict[str, Any] = {
    "files": FILES,
    "params": {"include": "label_map"},
    "headers": {"Accept": "application/json"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the one model, `m`, whose version 1 has label table 0."""
    return write_trivial_model(tmp_path / "repository", "m")


def serve(folder: Path, **groups: Any) -> AbstractContextManager[AppClient]:
    engine = {"watch_seconds": 0, **groups.pop("engine", {})}
    models = {"repository": folder.parent, "damage": "m"}
    return running(create_app(Settings(models=models, engine=engine, **groups)))


def is_table(label_map: np.ndarray, shift: int) -> bool:
    return np.array_equal(label_map, label_table(5, shift)[PIXELS[..., 1]])


def shift_of(answer: httpx.Response) -> int:
    """Return which label table a PNG answer was made with."""
    assert answer.status_code == 200, answer.text
    [shift] = [shift for shift in range(5) if is_table(decode(answer.content), shift)]
    return shift


def until(condition: Callable[[], bool]) -> None:
    """Wait, on a thread that is not the app's, until `condition` holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_versions_are_pinned_and_answer_differently(folder: Path) -> None:
    digest = write_version(folder, 2, shift=1)
    with serve(folder) as client:
        newest = client.post("/v1/damage", files=FILES)
        assert (shift_of(newest), newest.headers["Maskgate-Version"]) == (1, "2")
        assert newest.headers["Maskgate-Digest"] == digest
        pinned = client.post("/v1/damage?version=1", files=FILES)
        assert (shift_of(pinned), pinned.headers["Maskgate-Version"]) == (0, "1")
        absent = client.post("/v1/damage?version=7", files=FILES)
        assert (absent.status_code, absent.json()["code"]) == (404, "version-not-found")
        assert "1, 2" in absent.json()["detail"]
        assert absent.json()["errors"][0]["pointer"] == "/version"
        for nonsense in ("0", "-1", "x", "1.5"):
            assert client.post(f"/v1/damage?version={nonsense}", files=FILES).status_code == 422
        assert client.post("/v1/damage?model=none&version=1", files=FILES).json()["code"] == "model-not-found"


def test_a_refresh_says_what_it_did(folder: Path) -> None:
    with serve(folder) as client:
        assert client.post(REFRESH).json() == {"added": [], "changed": [], "removed": [], "failed": {}}
        write_trivial_model(folder.parent, "other")
        write_version(folder, 2, shift=2)
        assert client.post(REFRESH).json() == {"added": ["other"], "changed": ["m"], "removed": [], "failed": {}}
        shutil.rmtree(folder.parent / "other")
        (folder / "labels.txt").unlink()
        answer = client.post(REFRESH)
        assert answer.status_code == 200
        assert (answer.json()["removed"], list(answer.json()["failed"])) == (["other"], ["m"])
        counted = {
            outcome: client.sample("maskgate_repository_refreshes_total", outcome=outcome)
            for outcome in ("unchanged", "changed", "failed")
        }
        assert counted == {"unchanged": 1, "changed": 2, "failed": 1}
        assert 'model="other"' not in client.get("/metrics").text
        assert client.get(REFRESH).status_code == 405


def test_versions_and_states_are_told(folder: Path) -> None:
    write_version(folder, 2, shift=1)
    damage_version(folder, 2)
    with serve(folder) as client:
        readiness = client.get("/readyz")
        assert readiness.status_code == 200
        assert readiness.json()["models"]["m"].startswith("ready: version 2: ")
        assert readiness.json()["versions"]["m"]["1"] == "ready"
        assert readiness.json()["versions"]["m"]["2"].startswith("failed: ONNX Runtime")
        for model in (client.get("/v1/models/m").json(), client.get("/v1/models").json()["models"][0]):
            assert (model["state"], model["version"]) == ("ready", 1)
            assert [(v["version"], v["state"]) for v in model["versions"]] == [(1, "ready"), (2, "failed")]
        pinned = client.post("/v1/damage?version=2", files=FILES)
        assert (pinned.status_code, pinned.json()["code"]) == (503, "model-not-ready")
        assert "Retry-After" in pinned.headers
        assert shift_of(client.post("/v1/damage", files=FILES)) == 0


def test_a_broken_new_version_keeps_the_old_one_serving(folder: Path) -> None:
    with serve(folder) as client:
        write_version(folder, 2, shift=1)
        damage_version(folder, 2)
        assert list(client.post(REFRESH).json()["failed"]) == ["m"]
        assert client.get("/readyz").status_code == 200
        assert shift_of(client.post("/v1/damage", files=FILES)) == 0
        assert client.sample("maskgate_model_ready", model="m") == 1


def test_a_version_broken_in_place_keeps_its_former_form(folder: Path) -> None:
    with serve(folder) as client:
        before = client.post("/v1/damage", files=FILES)
        damage_version(folder, 1)
        assert "still serving its former form" in client.post(REFRESH).json()["failed"]["m"]
        after = client.post("/v1/damage", files=FILES)
        assert shift_of(after) == 0
        assert after.headers["Maskgate-Digest"] == before.headers["Maskgate-Digest"]


def test_a_removed_model_is_not_found(folder: Path) -> None:
    write_trivial_model(folder.parent, "other")
    with serve(folder) as client:
        shutil.rmtree(folder)
        assert client.post(REFRESH).json()["removed"] == ["m"]
        answer = client.post("/v1/damage", files=FILES)
        assert (answer.status_code, answer.json()["code"]) == (404, "model-not-found")
        assert client.get("/v1/models/m").status_code == 404
        assert client.post("/v1/damage?model=other", files=FILES).status_code == 200


def test_a_repository_that_is_away_is_said_and_what_was_served_still_is(folder: Path, tmp_path: Path) -> None:
    with serve(folder) as client:
        folder.parent.rename(tmp_path / "unmounted")
        answer = client.post(REFRESH)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert shift_of(client.post("/v1/damage", files=FILES)) == 0


def replace_in_place(folder: Path) -> None:
    write_version(folder, 1, shift=3)


def replace_by_a_newer(folder: Path) -> None:
    write_version(folder, 2, shift=3)
    remove_version(folder, 1)


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("change", [replace_in_place, replace_by_a_newer, remove])
def test_requests_in_flight_end_on_the_model_they_began_with(
    folder: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(folder, work={"threads": 3}) as client:
        engine = client.services.engine
        former = engine.statuses()[0].model
        assert former is not None
        held, go_on = 0, asyncio.Event()
        infer = engine.infer

        async def held_back(*arguments: Any) -> Any:
            nonlocal held
            held += 1
            await go_on.wait()
            return await infer(*arguments)

        async def play() -> list[httpx.Response]:
            asked = [asyncio.create_task(client._request("POST", "/v1/damage", REPORT)) for _ in range(8)]
            # Three requests are with the model, the others wait for their turn.
            await asyncio.to_thread(until, lambda: held >= 3 and client.sample("maskgate_inflight_requests") == 8)
            await asyncio.to_thread(change, folder)
            assert (await client._request("POST", REFRESH, {})).json()["failed"] == {}
            go_on.set()
            return list(await asyncio.gather(*asked))

        monkeypatch.setattr(engine, "infer", held_back)
        for answer in client.run(play):
            assert answer.status_code == 200
            assert answer.json()["provenance"]["digest"] == former.digest
            assert is_table(picture(answer), 0)
        monkeypatch.undo()
        if change is not remove:
            assert shift_of(client.post("/v1/damage", files=FILES)) == 3


def picture(answer: httpx.Response) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(b64decode(answer.json()["pictures"]["label_map"]))))


def test_under_load_every_answer_is_whole(folder: Path) -> None:
    """Callers ask without a pause while versions come, are replaced and go; digest and label map always agree."""
    with serve(folder) as client:
        made = {client.get("/v1/models/m").json()["digest"]: 0}
        done = asyncio.Event()

        async def ask() -> list[httpx.Response]:
            answers = []
            while not done.is_set():
                answers.append(await client._request("POST", "/v1/damage", REPORT))
            return answers

        async def play() -> list[httpx.Response]:
            asking = [asyncio.create_task(ask()) for _ in range(4)]
            for version, shift in ((1, 1), (2, 2), (2, 3), (3, 4)):
                made[await asyncio.to_thread(write_version, folder, version, shift)] = shift
                refreshes = [client._request("POST", REFRESH, {}) for _ in range(3)]
                changed = sorted(answer.json()["changed"] for answer in await asyncio.gather(*refreshes))
                assert changed == [[], [], ["m"]], "one of the three takes the change in"
            done.set()
            return [answer for answers in await asyncio.gather(*asking) for answer in answers]

        answers = client.run(play)
        assert {answer.status_code for answer in answers} == {200}
        for answer in answers:
            assert is_table(picture(answer), made[answer.json()["provenance"]["digest"]])
        assert len({answer.json()["provenance"]["digest"] for answer in answers}) > 1


def test_the_watch_follows_by_itself(folder: Path) -> None:
    with serve(folder, engine={"watch_seconds": 0.02}) as client:
        write_trivial_model(folder.parent, "new", shift=4)
        until(lambda: client.sample("maskgate_model_ready", model="new") == 1)
        assert shift_of(client.post("/v1/damage?model=new", files=FILES)) == 4
        write_version(folder, 2, shift=1)
        until(lambda: any(s.model and s.model.version == 2 for s in client.services.engine.statuses()))
        assert shift_of(client.post("/v1/damage", files=FILES)) == 1
        shutil.rmtree(folder)
        until(lambda: len(client.services.engine.statuses()) == 1)
        assert client.post("/v1/damage", files=FILES).status_code == 404
