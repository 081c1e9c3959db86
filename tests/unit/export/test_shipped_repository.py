"""The models that ship are still what was built."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.verify import verify
from gateway.repository.store import scan

pytestmark = pytest.mark.processors

REPOSITORY = Path(__file__).resolve().parents[3] / "model_repository"


def test_the_shipped_repository_verifies() -> None:
    repository = scan(REPOSITORY)
    assert {"bd-fcn", "bd-siamunet"} <= set(repository.models)
    assert [f"{fault.model}: {fault.reason}" for fault in verify(repository)] == []
