"""What is published: wheels and sdists build, and an installation from wheels serves without the repository."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import gateway
from tests.support.places import ROOT

PROJECTS = {"maskgate": ROOT, "maskgate_client": ROOT / "clients" / "python"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all four files, by the pinned backend of this environment."""
    folder = tmp_path_factory.mktemp("dist")
    for project in PROJECTS.values():
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--directory", folder],
            cwd=project,
            check=True,
            capture_output=True,
        )
    return folder


def members(dist: Path, name: str) -> list[str]:
    (wheel,) = dist.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.parametrize(("name", "package"), [("maskgate", "gateway"), ("maskgate_client", "maskgate_client")])
def test_a_wheel_has_its_package_alone_and_says_what_it_is(dist: Path, name: str, package: str) -> None:
    names = members(dist, name)
    assert {each.split("/")[0] for each in names if ".dist-info/" not in each} == {package}
    assert f"{package}/py.typed" in names
    (wheel,) = dist.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (each for each in names if each.endswith(".dist-info/METADATA"))
        said = email.message_from_bytes(archive.read(metadata))
    assert said["Summary"]
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Description-Content-Type"] == "text/markdown"
    assert len(str(said.get_payload())) > 1000
    assert "Typing :: Typed" in said.get_all("Classifier", [])
    assert said.get_all("Project-URL")


def test_sdists_carry_no_models(dist: Path) -> None:
    for sdist in dist.glob("*.tar.gz"):
        assert sdist.stat().st_size < 2 << 20, sdist.name
        with tarfile.open(sdist) as archive:
            assert [name for name in archive.getnames() if name.endswith((".onnx", ".pt"))] == []


def test_what_is_installed_from_wheels_runs_outside_the_repository(dist: Path, tmp_path: Path) -> None:
    """Dependencies come from this environment, by a path of its own: it has this checkout's gateway as well."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--no-deps", "--no-index"]
    subprocess.run([*pip, *map(str, dist.glob("*.whl"))], check=True)
    (site,) = environment.glob("lib/python3.*/site-packages")
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    told = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / command[0]), *command[1:]],
            cwd=tmp_path,
            env=told,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("python", "-c", "import gateway, gateway.app; print(gateway.__file__, gateway.__version__)").split()
    assert where == [str(site / "gateway" / "__init__.py"), gateway.__version__]
    assert '"server"' in run("maskgate-gateway", "settings")
    run("maskgate", "example", "--out", "drawn")
    assert len(list((tmp_path / "drawn").iterdir())) >= 2
