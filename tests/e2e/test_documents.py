"""The documents keep their word: links lead somewhere, sizes hold, and commands run as they are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.cts import series
from tests.support.films import chest
from tests.support.geotiffs import write
from tests.support.pictures import encode
from tests.support.places import ROOT
from tests.support.processes import gateway
from tests.support.range_store import range_store
from tests.support.towns import in_degrees, place, seen_on, town

pytestmark = pytest.mark.e2e

DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts) and "results" not in path.parts
)
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)")
_DEFAULT, _STORE = "http://127.0.0.1:8080", "https://data.example"
_DISTRICT = (
    '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "all"}, "geometry": '
    '{"type": "Polygon", "coordinates": [[[-95, 36], [-94, 36], [-94, 38], [-95, 38], [-95, 36]]]}}]}'
)


@dataclass(frozen=True)
class Desk:
    """Where a reader of the documents sits: a folder with files of the names they use, and a gateway that answers.

    Attributes:
        folder: with the files.
        address: of the gateway.
        store: that it may read from, in the place of the documents' own.
    """

    folder: Path
    address: str
    store: str


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    drawn = town()
    wide = in_degrees()
    (folder / "photo.jpg").write_bytes(encode(drawn.pre, "JPEG"))
    (folder / "chest.png").write_bytes(encode(chest()))
    (folder / "series.zip").write_bytes(series())
    (folder / "pre.png").write_bytes(encode(drawn.pre))
    (folder / "post.png").write_bytes(encode(drawn.post))
    (folder / "pre.tif").write_bytes(write(drawn.pre, place()))
    (folder / "post.tif").write_bytes(write(seen_on(drawn.post, wide), wide))
    (folder / "cloudy.tif").write_bytes((folder / "post.tif").read_bytes())
    (folder / "districts.geojson").write_text(_DISTRICT)
    jobs = str(tmp_path_factory.mktemp("jobs"))
    with range_store() as store:
        store.files = {f"/{name}.tif": (folder / f"{name}.tif").read_bytes() for name in ("pre", "post")}
        stores = json.dumps([f"{store.address}/"])
        with gateway(ROOT / "model_repository", JOBS_FOLDER=jobs, JOBS_STORES=stores) as server:
            yield Desk(folder, server.address, store.address)


def blocks(language: str, *names: str) -> list[str]:
    """Return the blocks of a language in documents."""
    texts = ((ROOT / name).read_text(encoding="utf-8") for name in names)
    return [code for text in texts for kind, code in _BLOCK.findall(text) if kind == language]


def commands(*names: str) -> list[str]:
    """Return the shell commands in documents, continued lines joined, comments left out."""
    lines = "".join(blocks("sh", *names)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [(document.parent / target if target else document, anchor) for target, anchor in _LINK.findall(text)]
    assert [str(path) for path, _ in targets if not path.exists()] == []
    missing = [
        f"{path.name}{anchor}" for path, anchor in targets if anchor and path.is_file() and anchor not in anchors(path)
    ]
    assert missing == []


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_commands_for_the_gateway_run_as_they_are_written(desk: Desk) -> None:
    """In the order of the documents: what one line writes, a later one may read."""
    ran = 0
    environment = os.environ | {"MASKGATE_URL": desk.address, "PYTHONPATH": os.pathsep.join(sys.path)}
    for line in commands("README.md", "gateway/README.md", "deploy/README.md", "export/README.md"):
        program = shlex.split(line)[0].removeprefix(".venv/serve/bin/")
        if program not in ("curl", "maskgate"):
            continue
        tool = "curl --fail-with-body -sS" if program == "curl" else f"{sys.executable} -m maskgate_client"
        told = line.replace(".venv/serve/bin/", "").replace(program, tool, 1).replace(_DEFAULT, desk.address)
        told = told.replace(_STORE, desk.store)
        result = subprocess.run(
            ["bash", "-c", told], cwd=desk.folder, env=environment, capture_output=True, text=True, timeout=240
        )
        assert result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
        ran += 1
    assert ran >= 7
    for name in ("overlay.png", "mask.png", "seg.dcm", "waste.png", "town.gpkg"):
        assert (desk.folder / name).stat().st_size > 100, name


def test_python_on_the_first_page_runs(desk: Desk) -> None:
    for code in blocks("python", "README.md"):
        told = code.replace(_DEFAULT, desk.address)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        result = subprocess.run(
            [sys.executable, "-c", told], cwd=desk.folder, env=environment, capture_output=True, text=True, timeout=240
        )
        assert result.returncode == 0, result.stderr
        assert "no-damage" in result.stdout


def test_make_has_every_target_that_is_named() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        target
        for path in DOCUMENTS
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - targets == set()


def test_export_knows_every_option_that_is_named() -> None:
    lines = [line for line in commands("README.md", "export/README.md") if "-m export" in line]
    assert lines

    # A command imports torch, so each is asked once.
    @cache
    def help_of(command: str) -> str:
        asked = [sys.executable, "-m", "export", command, "--help"]
        return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for line in lines:
        _, _, asked = line.partition("-m export ")
        command, *arguments = shlex.split(asked, comments=True)
        help_text = help_of(command)
        for option in (word for word in arguments if word.startswith("--")):
            assert option in help_text, f"{option} of {line}"
