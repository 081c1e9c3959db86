"""The shipped models, by way of a real S3, with the commands of `deploy/README.md`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.repository.store import scan
from tests.support.places import ROOT
from tests.support.s3_server import s3_server

pytest.importorskip("obstore", reason="obstore is not installed (the extra `s3`)")


SHELF = "s3://models/maskgate"


def commands() -> list[str]:
    lines = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("maskgate-gateway models ")]


def test_models_go_to_s3_and_come_back(tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    told: list[list[str]] = []
    with s3_server(tmp_path / "s3") as server:
        for line in commands():
            here = line.replace(SHELF, f"{server.url}/maskgate").replace("/srv/models", str(tmp_path / "new"))
            command = [sys.executable, "-m", "gateway.cli", *shlex.split(here)[1:]]
            done = subprocess.run(
                command, cwd=ROOT, env=os.environ | server.environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            told.append([row.split()[0] for row in done.stdout.splitlines()])
    shipped = scan(ROOT / "model_repository").models
    damage = sorted(name for name, model in shipped.items() if "CC BY" in model.card.licence)
    pushed, named, licensed, verified = told
    assert pushed == sorted(shipped)
    assert named == ["bd-lite0", "waste-lite0"]
    assert licensed == damage
    assert verified == sorted({*named, *damage})
    for path in (tmp_path / "new").rglob("*"):
        if path.is_file():
            ours = ROOT / "model_repository" / path.relative_to(tmp_path / "new")
            assert ours.read_bytes() == path.read_bytes(), ours
