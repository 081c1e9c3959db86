"""One suite for every engine: add one here, and each test below runs against it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.engines.base import Engine
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.engines.triton.engine import TritonEngine
from gateway.observability.metrics import Telemetry
from tests.support.triton import Tritons
from tests.support.trivial import write_trivial_model

Factory = Callable[[Path], Engine]
INFLIGHT_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a model of two inputs, one of one input, and a faulty one."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "pair", max_batch_size=3)
    write_trivial_model(root, "single", inputs=("pre",), classes=2)
    (write_trivial_model(root, "faulty") / "card.json").write_text("{}")
    return root


@pytest.fixture(scope="session")
def tritons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tritons]:
    """Return the real servers, one for each repository that is asked for."""
    with ExitStack() as stack:
        yield Tritons(stack, tmp_path_factory.mktemp("triton"))


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("shared-memory", marks=pytest.mark.e2e),
        pytest.param("binary", marks=pytest.mark.e2e),
    ]
)
def new_engine(request: pytest.FixtureRequest) -> Factory:
    """Return how to make an engine for a repository: the embedded one, or Triton's by either transport."""
    if request.param == "embedded":
        return lambda root: EmbeddedEngine(root, "cpu", 2, Telemetry())
    tritons: Tritons = request.getfixturevalue("tritons")
    share = request.param == "shared-memory"
    return lambda root: TritonEngine(root, tritons.serving(root).url, share, INFLIGHT_BYTES, Telemetry())
