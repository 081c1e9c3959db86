"""A repository of trivial models for every task, for measurements of everything around them."""

from __future__ import annotations

from pathlib import Path

from tests.support.trivial import write_trivial_model
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_interactive import write_trivial_interactive
from tests.support.trivial_land import write_trivial_land
from tests.support.trivial_radiograph import write_trivial_radiograph
from tests.support.trivial_restore import write_trivial_restore
from tests.support.trivial_waste import write_trivial_waste

SETTINGS = {"MODELS_DAMAGE": "trivial"}
"""What a gateway that serves it has to be told."""


def write_trivial_repository(root: Path) -> Path:
    """Write a model of each task under `root`, with tiles of sizes that trained ones have, and return it."""
    write_trivial_model(root, tile=256)
    write_trivial_ct(root, size=256)
    write_trivial_interactive(root)
    write_trivial_radiograph(root, size=64)
    write_trivial_waste(root, tile=256, short=256, long=1024)
    write_trivial_land(root, tile=256, overlap=64)
    write_trivial_restore(root, tile=256, overlap=64)
    return root
