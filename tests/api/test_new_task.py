"""A new task is one folder: it is listed, described and counted like the others, and no shared file names it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.registry import Registry
from gateway.repository.store import scan
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.pictures import encode, noise
from tests.support.places import ROOT
from tests.support.toy_task.model import write_model
from tests.support.toy_task.spec import TASK

SHARED = ("gateway", "export", "clients", "deploy", "pyproject.toml")


@pytest.fixture
def beach(tmp_path: Path) -> Iterator[AppClient]:
    models = {"repository": write_model(tmp_path), "tasks": [TASK.package]}
    with running(create_app(Settings.model_validate({"models": models}))) as client:
        yield client


def test_no_shared_file_was_edited_for_it() -> None:
    found = subprocess.run(
        ["grep", "-r", "-l", "-i", "-E", f"{TASK.name}|toy_task", "--include=*", *SHARED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout.split()) == (1, [])


def test_it_is_listed_and_described(beach: AppClient) -> None:
    *_, last = beach.get("/v1/tasks").json()["tasks"]
    assert (last["name"], last["title"], last["answer"]) == (TASK.name, TASK.title, "label map")
    described = beach.get("/openapi.json").json()["paths"][f"/v1/{TASK.name}"]["post"]
    assert described["summary"] == TASK.title
    assert {parameter["name"] for parameter in described["parameters"]} >= {"model", "version", "overlay", "include"}
    (part,) = described["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"].values()
    assert part["description"] == TASK.parts[0].description
    assert set(described["responses"]) >= {"200", "400", "401", "403", "404", "406", "429", "503", "504"}


def test_its_requests_are_counted_under_its_name(beach: AppClient) -> None:
    assert beach.post(f"/v1/{TASK.name}", files={"image": encode(noise(64, 64))}).status_code == 200
    route = f"/v1/{TASK.name}"
    assert beach.sample("maskgate_http_requests_total", route=route, method="POST", status_class="2xx") == 1
    assert f'task="{TASK.name}"' in beach.get("/metrics").text


def test_its_default_model_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_MODELS_TASKS", f'["{TASK.package}"]')
    assert Settings().models.named(TASK.name) == TASK.default_model
    monkeypatch.setenv("MASKGATE_MODELS_PEBBLES", "mine")
    assert Settings().models.named(TASK.name) == "mine"


def test_its_models_are_faulty_where_it_is_not_registered(tmp_path: Path) -> None:
    write_model(tmp_path)
    (fault,) = scan(tmp_path).faults
    assert "there is no task 'pebbles'" in fault.reason
    assert list(scan(tmp_path, check=Registry.discover([TASK.package]).check).models) == [TASK.default_model]
