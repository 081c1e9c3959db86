"""What `--against REV` gives a benchmark: another commit, whose gateway is measured beside that of this one."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.places import ROOT

HERE = "here"
"""What this commit is called in figures."""


def against_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option `--against`."""
    parser.add_argument("--against", metavar="REV", help="another commit, whose gateway is measured beside this one")


@contextmanager
def commits(against: str | None) -> Iterator[dict[str, Path]]:
    """Yield by commit the folder with its tree: of this one, and then of `against`, where that is given."""
    if against is None:
        yield {HERE: ROOT}
        return
    with checkout(against) as folder:
        yield {HERE: ROOT, against: folder}


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yield a folder with the tree of a commit, as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*command, "add", "--quiet", "--detach", folder, revision], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*command, "remove", "--force", folder], check=True)
