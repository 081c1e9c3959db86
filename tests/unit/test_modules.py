"""How the modules are cut: none too long to be read at once, and none too short to stand by itself."""

from __future__ import annotations

import pytest

from tests.support.count_modules import Lone, lines_of, lone_modules
from tests.support.places import ROOT

LONGEST = 350
LONGER: dict[str, str] = {
    "gateway/errors.py": "one tree of errors, which is read as one",
    "gateway/tasks/damage/scene_inputs.py": "to be cut",
    "gateway/tasks/damage/scene_route.py": "to be cut",
    "gateway/tasks/damage/scene_schema.py": "to be cut",
}

MOST_LONE = 45
"""Modules that one other imports, of whatever length; see `lone_modules` for what does not count."""

SHORTEST = 80
SHORTER: dict[str, str] = {
    "gateway.media.pictures.label_maps": "until the modules of scenes import from where its names are",
}
UNCUT = ("gateway.media.geo.", "gateway.tasks.damage.scene_")
"""What is not counted until it is cut."""


@pytest.mark.parametrize("folder", ["gateway", "export", "clients"])
def test_no_module_is_longer_than_one_reads_at_once(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    longer = {path.relative_to(ROOT).as_posix() for path in files if lines_of(path) > LONGEST}
    assert len(files) > 10
    assert longer <= set(LONGER)


def counted() -> list[Lone]:
    """Return the modules that one other imports, but for those of scenes."""
    return [each for each in lone_modules() if not each.name.startswith(UNCUT)]


def test_no_short_module_has_one_importer() -> None:
    shorter = {each.name for each in counted() if each.lines < SHORTEST}
    assert shorter <= set(SHORTER), "it belongs in its importer"


def test_no_more_modules_have_one_importer() -> None:
    assert len(counted()) <= MOST_LONE
