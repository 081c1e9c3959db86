"""How the modules are cut: none too long to be read at once, and none too short to stand by itself."""

from __future__ import annotations

import pytest

from tests.support.count_modules import lines_of, lone_modules
from tests.support.places import ROOT

LONGEST = 350
LONGER: dict[str, str] = {"gateway/errors.py": "one tree of errors, which is read as one"}

MOST_LONE = 56
"""Modules that one other imports, of whatever length; see `lone_modules` for what does not count."""

SHORTEST = 80
SHORTER: dict[str, str] = {
    "gateway.media.geo.colour_files": "tasks write no file by GDAL themselves",
    "gateway.tasks.damage.scene_notices": "words for people beside the route's order of work",
}


@pytest.mark.parametrize("folder", ["gateway", "export", "clients"])
def test_no_module_is_longer_than_one_reads_at_once(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    longer = {path.relative_to(ROOT).as_posix() for path in files if lines_of(path) > LONGEST}
    assert len(files) > 10
    assert longer <= set(LONGER)


def test_no_short_module_has_one_importer() -> None:
    shorter = {each.name for each in lone_modules() if each.lines < SHORTEST}
    assert shorter <= set(SHORTER), "it belongs in its importer"


def test_no_more_modules_have_one_importer() -> None:
    assert len(lone_modules()) <= MOST_LONE
