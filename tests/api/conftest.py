"""The app over ASGI, on a repository of trivial models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.http import request_path
from gateway.media.medical import ct_files, radiographs
from gateway.media.pictures.images import decode
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.trivial import write_trivial_model
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_interactive import write_trivial_interactive
from tests.support.trivial_land import write_trivial_land
from tests.support.trivial_radiograph import write_trivial_radiograph
from tests.support.trivial_restore import write_trivial_restore
from tests.support.trivial_waste import write_trivial_waste

Start = Callable[..., AppClient]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of sound models of each task, and three faulty folders of damage."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "trivial")
    write_trivial_model(root, "pre-only", inputs=("pre",), classes=2)
    write_trivial_interactive(root)
    write_trivial_ct(root)
    write_trivial_waste(root)
    write_trivial_land(root)
    write_trivial_restore(root)
    write_trivial_ct(root, "narrow", low=-1000, high=400)
    write_trivial_radiograph(root, "cxr-even")
    write_trivial_radiograph(root, "cxr-bright", size=48, cells=6, shift=0.25, threshold=0.25)
    card = write_trivial_model(root, "broken-card") / "card.json"
    card.write_text(card.read_text().replace('"max_batch_size": 8', '"max_batch_size": 0'))
    (write_trivial_model(root, "no-file") / "1" / "model.onnx").unlink()
    config = write_trivial_model(root, "contradiction") / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    return root


@pytest.fixture(scope="session")
def start_session(repository: Path) -> Iterator[Start]:
    """Return a function that starts an app with the settings given, until the end of the session."""
    with ExitStack() as stack:
        yield lambda **groups: _start(stack, repository, **groups)


@pytest.fixture
def start(repository: Path) -> Iterator[Start]:
    """Return a function that starts an app with the settings given, until the end of the test."""
    with ExitStack() as stack:
        yield lambda **groups: _start(stack, repository, **groups)


@pytest.fixture(scope="session")
def client(start_session: Start) -> AppClient:
    """Return a client of an app with default limits; the default damage model is `trivial`."""
    return start_session()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that gets an entry for every image decoded."""
    calls: list[None] = []

    def counting(*arguments: Any) -> Any:
        calls.append(None)
        return decode(*arguments)

    for module in (request_path, ct_files, radiographs):
        monkeypatch.setattr(module, "decode", counting)
    return calls


def _start(stack: ExitStack, repository: Path, **groups: Any) -> AppClient:
    models = {"repository": repository, "damage": "trivial", **groups.pop("models", {})}
    return stack.enter_context(running(create_app(Settings(models=models, **groups))))
