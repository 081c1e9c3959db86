"""The shipped models, by way of a real S3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.support.s3_server import s3_server

pytest.importorskip("obstore", reason="obstore is not installed (the extra `s3`)")


def test_models_go_to_s3_and_come_back(tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server:

        def run(*arguments: str) -> list[str]:
            command = [sys.executable, "-m", "gateway.cli", "models", *arguments]
            done = subprocess.run(
                command, cwd=ROOT, env=os.environ | server.environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
            return [line.split()[0] for line in done.stdout.splitlines()]

        shelf = f"{server.url}/models"
        shipped = sorted(path.name for path in (ROOT / "model_repository").iterdir() if path.is_dir())
        assert run("push", shelf) == shipped
        damage = ["bd-cnn", "bd-dahitra", "bd-fcn", "bd-siamunet"]
        assert run("verify", "--place", shelf, "--licence", "CC BY-NC-SA 4.0") == damage
        assert run("pull", shelf, "--models", str(tmp_path / "new")) == shipped
    for path in (ROOT / "model_repository").glob("*/**/*"):
        if path.is_file():
            here = path.relative_to(ROOT / "model_repository")
            assert (tmp_path / "new" / here).read_bytes() == path.read_bytes(), here
