"""Promises the repository makes as a whole: what is locked, what is single-sourced, what may not be tracked."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gateway
from tests.support.places import ROOT

LOCKS = ROOT / "deploy" / "locks"
PROJECTS = (ROOT / "pyproject.toml", ROOT / "clients" / "python" / "pyproject.toml")
HASHED = tuple(
    f"{name}.txt"
    for name in (
        *("build", "serve", "jobs", "dev", "triton", "perf", "job-servers"),
        *("image", "image-gpu", "deploy", "helm", "adapters"),
    )
)
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][0-9a-z.]*)( ; (?P<marker>.+))?")

DRAWN_PICTURES = ("clients/python/example.png", "clients/console/gallery/")
"""What READMEs show: a drawn pair, and screenshots of the console with drawn samples."""
LARGEST_TRACKED_FILE = 15 * 1024 * 1024
IMAGE_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF8",
    b"II*\x00",  # TIFF, either byte order
    b"MM\x00*",
    b"II+\x00",  # BigTIFF
    b"\x1f\x8b",  # gzip, so .nii.gz
    b"PK\x03\x04",  # zip, so a DICOM series or .npz
)
DICOM_SIGNATURE = b"DICM"  # after a preamble of 128 bytes


@cache
def requirements(lock: str) -> tuple[str, ...]:
    """Return the lock's requirements, one string each, without comments and hashes."""
    text = (LOCKS / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.partition(" --hash=")[0].strip() for line in text.splitlines())
    return tuple(re.sub(r"\s+", " ", line) for line in lines if line and not line.startswith("#"))


def pins(lock: str) -> dict[str, str]:
    """Return package → version."""
    matches = [PIN.fullmatch(line) for line in requirements(lock)]
    return {match["name"]: match["version"] for match in matches if match}


def project(path: Path) -> dict[str, Any]:
    """Return the `project` table of a pyproject.toml."""
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return table


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return what git tracks or would track; skips where this is no git checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    return tuple(path for name in names if name and (path := ROOT / name).is_file())


@pytest.mark.parametrize("lock", [*HASHED, "torch.txt"])
def test_every_line_of_a_lock_is_one_exact_version(lock: str) -> None:
    lines = requirements(lock)
    assert lines
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert len(pins(lock)) == len(lines), "a package is pinned once, for all Pythons and platforms"


@pytest.mark.parametrize("lock", HASHED)
def test_locks_carry_hashes_and_name_no_package_source(lock: str) -> None:
    text = (LOCKS / lock).read_text(encoding="utf-8")
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_serving_installs_no_training() -> None:
    serving = set(pins("serve.txt"))
    assert serving.isdisjoint({"torch", "torchvision", "onnx", "onnxscript", "matplotlib", "pytest"})
    assert "onnxruntime" in serving


def test_no_lock_holds_cuda() -> None:
    locked = {name for lock in ("build.txt", "serve.txt", "dev.txt", "torch.txt") for name in pins(lock)}
    assert {name for name in locked if name.startswith(("nvidia-", "cuda-")) or name == "triton"} == set()


def test_tests_run_on_what_serving_installs() -> None:
    serving, development = pins("serve.txt"), pins("dev.txt")
    assert {name: development.get(name) for name in serving} == serving
    shared = pins("build.txt").keys() & development.keys()
    assert {name: development[name] for name in shared} == {name: pins("build.txt")[name] for name in shared}


def test_both_engines_compute_with_one_onnx_runtime() -> None:
    assert pins("triton.txt")["onnxruntime"] == pins("serve.txt")["onnxruntime"]


@pytest.mark.parametrize(
    ("extras", "locks"),
    [(("cpu",), ("serve.txt",)), (("cpu", "export", "dev"), ("dev.txt", "torch.txt"))],
    ids=["serving", "development"],
)
def test_locks_answer_the_declared_dependencies(extras: tuple[str, ...], locks: tuple[str, ...]) -> None:
    declared = [
        Requirement(line)
        for table in map(project, PROJECTS)
        for part in (
            table.get("dependencies", []),
            *(table.get("optional-dependencies", {}).get(extra, []) for extra in extras),
        )
        for line in part
    ]
    locked = {name: version for lock in locks for name, version in pins(lock).items()}
    stale = [
        str(wanted)
        for wanted in declared
        if not wanted.specifier.contains(locked.get(canonicalize_name(wanted.name), ""), prereleases=True)
    ]
    assert stale == [], "run `make lock`"


def test_the_version_has_one_source() -> None:
    settings = tomllib.loads(PROJECTS[0].read_text(encoding="utf-8"))
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"]["path"] == "gateway/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", gateway.__version__)


def test_no_tracked_file_is_large() -> None:
    large = [path.relative_to(ROOT) for path in tracked_files() if path.stat().st_size > LARGEST_TRACKED_FILE]
    assert large == []


def test_the_models_that_ship_fit_into_eighty_megabytes() -> None:
    shipped = [path for path in tracked_files() if path.is_relative_to(ROOT / "model_repository")]
    assert sum(path.stat().st_size for path in shipped) <= 80_000_000


def test_the_one_tracked_image_is_the_drawn_one_of_the_readme() -> None:
    found = []
    for path in tracked_files():
        with path.open("rb") as file:
            head = file.read(132)
        if head.startswith(IMAGE_SIGNATURES) or head[128:] == DICOM_SIGNATURE:
            found.append(path.relative_to(ROOT))
    assert [str(path) for path in found if not str(path).startswith(DRAWN_PICTURES)] == []
