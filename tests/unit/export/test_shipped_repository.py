"""The models that ship are still what was built."""

from __future__ import annotations

import pytest

from export.verify import verify
from gateway.repository.store import scan
from tests.support.places import ROOT

pytestmark = pytest.mark.processors

REPOSITORY = ROOT / "model_repository"


def test_the_shipped_repository_verifies() -> None:
    repository = scan(REPOSITORY)
    assert {"bd-fcn", "bd-siamunet"} <= set(repository.models)
    assert [f"{fault.model}: {fault.reason}" for fault in verify(repository)] == []
