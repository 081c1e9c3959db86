"""Images that are built once for all tests of deployments, and the pair that they are asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.containers import Containers
from tests.support.pictures import encode
from tests.support.places import ROOT
from tests.support.towns import town

IMAGES = ROOT / "deploy" / "images"


@pytest.fixture(scope="session")
def containers() -> Containers:
    found = Containers.at_hand()
    found.skip_where_none_runs()
    return found


@pytest.fixture(scope="session")
def image(containers: Containers) -> str:
    """The gateway on CPU, without models."""
    return containers.build(
        "localhost/maskgate:test", ROOT, IMAGES / "Dockerfile", "--build-arg=VERSION=0.0.test", "--target=gateway"
    )


@pytest.fixture(scope="session")
def pair() -> dict[str, bytes]:
    drawn = town()
    return {"pre": encode(drawn.pre), "post": encode(drawn.post)}


@pytest.fixture(scope="session")
def models() -> Path:
    return ROOT / "model_repository"
