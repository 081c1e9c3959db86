"""Ready means ready: until every model was tried nothing is said not to exist, and no probe is told it may come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from gateway.app import create_app
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.repository.store import StoredModel
from gateway.settings import Settings
from tests.support.app_client import AppClient
from tests.support.pictures import encode, noise
from tests.support.trivial import write_trivial_model
from tests.support.trivial_radiograph import write_trivial_radiograph
from tests.support.trivial_waste import write_trivial_waste

IMAGE = {"image": encode(noise(96, 96))}
PROBES = ("/readyz", "/v2/health/ready")


class Gates:
    """Holds an engine before it reads the repository, and before it loads a model."""

    def __init__(self) -> None:
        self.open: dict[str, asyncio.Event] = {}

    def __getitem__(self, name: str) -> asyncio.Event:
        return self.open.setdefault(name, asyncio.Event())


@contextmanager
def starting(models: Path, gates: Gates, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[AppClient]:
    """Run an app whose models are loaded as `gates` let them."""
    refresh, take = EmbeddedEngine.refresh, EmbeddedEngine._take

    async def held_refresh(self: EmbeddedEngine) -> object:
        await gates["repository"].wait()
        return await refresh(self)

    async def held_take(self: EmbeddedEngine, stored: StoredModel) -> None:
        await gates[stored.name].wait()
        await take(self, stored)

    monkeypatch.setattr(EmbeddedEngine, "refresh", held_refresh)
    monkeypatch.setattr(EmbeddedEngine, "_take", held_take)
    app = create_app(Settings.model_validate({"models": {"repository": models, **settings}}))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        yield AppClient(app, portal)


def open_gate(client: AppClient, gates: Gates, name: str) -> None:
    async def now() -> None:
        gates[name].set()

    client.run(now)


def wait_for(client: AppClient, name: str) -> None:
    async def ready() -> None:
        async with asyncio.timeout(60):
            while True:
                if any(s.name == name and s.state == "ready" for s in client.services.engine.statuses()):
                    break
                await asyncio.sleep(0.01)

    client.run(ready)


def wait_for_all(client: AppClient) -> None:
    async def loaded() -> None:
        await client.app.state.loading

    client.run(loaded)


def test_what_is_not_read_yet_is_not_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_trivial_waste(tmp_path)
    gates = Gates()
    with starting(tmp_path, gates, monkeypatch) as client:
        asked = [
            client.post("/v1/waste", files=IMAGE),
            client.post("/v1/radiograph", files=IMAGE),
            client.get("/v1/models/waste-lite0"),
            client.get("/v2/models/waste-lite0"),
        ]
        assert [answer.status_code for answer in asked] == [503] * 4
        assert {(answer.json()["code"], answer.headers["Retry-After"]) for answer in asked} == {
            ("model-not-ready", "1")
        }
        for gate in ("repository", "waste-lite0"):
            open_gate(client, gates, gate)
        wait_for_all(client)
        assert client.post("/v1/waste", files=IMAGE).status_code == 200
        assert client.post("/v1/radiograph", files=IMAGE).status_code == 404


def test_it_is_ready_when_every_model_was_tried_and_the_defaults_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_trivial_model(tmp_path, "bd-lite0")
    write_trivial_model(tmp_path, "bd-another")
    write_trivial_waste(tmp_path)
    gates = Gates()
    with starting(tmp_path, gates, monkeypatch) as client:
        for gate, loaded in (("repository", None), ("bd-another", "bd-another"), ("bd-lite0", "bd-lite0")):
            open_gate(client, gates, gate)
            if loaded:
                wait_for(client, loaded)
            assert [client.get(probe).status_code for probe in PROBES] == [503, 503]
        open_gate(client, gates, "waste-lite0")
        wait_for_all(client)
        assert [client.get(probe).status_code for probe in PROBES] == [200, 200]


@pytest.mark.parametrize(
    ("broken", "required", "status"),
    [
        ("waste-lite0", [], 503),  # the default of its task
        ("waste-other", [], 200),
        ("waste-lite0", ["bd-lite0"], 200),  # the settings ask for less
        ("waste-other", ["waste-other"], 503),
        ("cxr-a", [], 200),  # the ensemble has another
    ],
)
def test_defaults_or_what_is_required_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, required: list[str], status: int
) -> None:
    write_trivial_model(tmp_path, "bd-lite0")
    for name in ("waste-lite0", "waste-other"):
        write_trivial_waste(tmp_path, name)
    for name in ("cxr-a", "cxr-b"):
        write_trivial_radiograph(tmp_path, name)
    (tmp_path / broken / "labels.txt").unlink()
    gates = Gates()
    with starting(tmp_path, gates, monkeypatch, required=required) as client:
        for gate in ("repository", *(folder.name for folder in tmp_path.iterdir())):
            open_gate(client, gates, gate)
        wait_for_all(client)
        assert client.get("/readyz").status_code == status
