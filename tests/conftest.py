"""What every test shares: the real samples beside the repository, and how hypothesis behaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.places import SAMPLES

# Neither a slow machine nor luck decides: no clock in any verdict, and CI draws the same examples each time.
settings.register_profile(
    "maskgate", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("maskgate")


@pytest.fixture(scope="session")
def building_damage() -> Path:
    """Folder of real image pairs, labels and masks. They may not enter the project: they lie beside it or nowhere."""
    folder = SAMPLES / "building_damage"
    if not folder.is_dir():
        pytest.skip("no real samples: ../shared/data/building_damage is not there")
    return folder


@pytest.fixture(scope="session")
def waste_seg() -> Path:
    """Folder of real photographs of waste and their label maps; as `building_damage` beside the project or nowhere."""
    folder = SAMPLES / "waste_seg"
    if not folder.is_dir():
        pytest.skip("no real samples: ../shared/data/waste_seg is not there")
    return folder


@pytest.fixture(scope="session")
def roadmap_samples() -> Path:
    """Folder of real road photographs and plots of trees; as `building_damage` beside the project or nowhere."""
    folder = SAMPLES / "roadmap_samples"
    if not folder.is_dir():
        pytest.skip("no real samples: ../shared/data/roadmap_samples is not there")
    return folder
