"""How many files of the gateway a plain request runs through: fewer are sooner read."""

from __future__ import annotations

from pathlib import Path

from tests.support.count_files import files_of_a_damage_request

MOST = 32


def test_a_pair_of_pictures_runs_through_few_files_and_none_of_scenes(tmp_path: Path) -> None:
    files = files_of_a_damage_request(tmp_path)
    assert [file for file in files if "scene" in file or "geo/" in file] == []
    assert {"tasks/damage/route.py", "engines/embedded/engine.py", "scheduling/workers.py"} <= files
    assert len(files) <= MOST, sorted(files)
