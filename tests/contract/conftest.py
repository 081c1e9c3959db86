"""One suite for every engine: add a factory here, and each test below runs against it too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.engines.base import Engine
from gateway.engines.embedded import EmbeddedEngine
from gateway.ops.telemetry import Telemetry
from tests.support.trivial import write_trivial_model

Factory = Callable[[Path], Engine]


def embedded(root: Path) -> Engine:
    return EmbeddedEngine(root, "cpu", 2, Telemetry())


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a model of two inputs, one of one input, and a faulty one."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "pair", max_batch_size=3)
    write_trivial_model(root, "single", inputs=("pre",), classes=2)
    (write_trivial_model(root, "faulty") / "card.json").write_text("{}")
    return root


@pytest.fixture(params=[embedded])
def new_engine(request: pytest.FixtureRequest) -> Factory:
    """Return how to make an engine for a repository."""
    factory: Factory = request.param
    return factory
