"""The gateway of another commit beside that of this one."""

from __future__ import annotations

import subprocess

import pytest

from tests.load.beside import HERE, commits
from tests.support.places import ROOT


def test_this_commit_alone_is_measured_where_it_lies() -> None:
    with commits(None) as roots:
        assert roots == {HERE: ROOT}


def test_another_commit_is_there_as_long_as_it_is_measured() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    with commits("HEAD") as roots:
        assert list(roots) == [HERE, "HEAD"]
        folder = roots["HEAD"]
        assert (folder / "gateway" / "cli.py").is_file()
    assert not folder.exists()
    listed = subprocess.run(["git", "-C", str(ROOT), "worktree", "list"], capture_output=True, text=True, check=True)
    assert str(folder) not in listed.stdout
