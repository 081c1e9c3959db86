from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.load.peers.report import BARE, OURS


@pytest.mark.e2e
def test_the_benchmark_of_peers_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.load.peers", "--smoke", "--seconds", "0.5", "--record", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (kept,) = (json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.glob("peers-*.json"))
    assert set(kept["shares"]) == {*OURS, "FastAPI"}
    assert set(kept["pairs_per_second"]) == {BARE, *OURS, "FastAPI"}
    assert all(shares["512"] > 0 for shares in kept["shares"].values())
    assert kept["missing"] == {}
    assert kept["machine"]["cores"] >= 1
    assert kept["versions"]["peers"]["FastAPI"]["numpy"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".svg"}
