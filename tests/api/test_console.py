"""The console's files as the gateway serves them: what may be asked for, by whom it may be kept, what it may load."""

from __future__ import annotations

import gzip
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from gateway.http.console import POLICY, folder
from tests.support.app_client import AppClient
from tests.support.places import ROOT

WEB = ROOT / "clients" / "console" / "web"
MOST_COMPRESSED = 3_000_000
LONGEST_VIEW = 250
_STATIC = re.compile(r'(?:from|import)\s*\(?\s*"([^"`$]+\.js)"|(?:src|href)="([^"#:]+)"')


def test_the_front_leads_to_the_console_and_it_to_its_folder(client: AppClient) -> None:
    for path in ("/", "/console"):
        answer = client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (307, "console/")
    page = client.get("/console/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == (WEB / "index.html").read_text(encoding="utf-8")


def test_where_it_is_off_the_front_leads_to_the_description(start: Any) -> None:
    client = start(server={"console": False})
    assert client.get("/", follow_redirects=False).headers["location"] == "docs"
    for path in ("/console", "/console/", "/console/console.js"):
        assert client.get(path, follow_redirects=False).json()["code"] == "route-not-found"
    assert client.get("/docs").status_code == 200
    assert client.get("/docs/docs.js").status_code == 200


@pytest.mark.parametrize("path", ["/console/", "/docs"])
def test_pages_load_nothing_inline_and_nothing_of_others(client: AppClient, path: str) -> None:
    page = client.get(path)
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son[a-z]+=|https?://", page.text)


def test_whatever_a_file_names_is_there(client: AppClient) -> None:
    for path in [*WEB.glob("*.html"), *WEB.glob("*.js"), *WEB.glob("[!v]*/*.js"), *WEB.glob("views/*.js")]:
        for imported, linked in _STATIC.findall(path.read_text(encoding="utf-8")):
            name = imported or linked
            if name.startswith("../docs") or name in ("openapi.json", "../docs"):
                continue
            base = WEB if name.startswith("docs/") else path.parent
            assert (base / name.removeprefix("docs/")).resolve().is_file(), (path.name, name)


def test_files_are_kept_as_long_as_they_stay_what_they_are(client: AppClient) -> None:
    own = client.get("/console/console.js")
    assert own.headers["cache-control"] == "no-cache"
    again = client.get("/console/console.js", headers={"If-None-Match": own.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    [library] = (WEB / "vendor").glob("ol-*/ol.js")
    kept = client.get(f"/console/{library.relative_to(WEB)}")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.content == library.read_bytes()


def test_files_come_compressed_to_those_who_take_that(client: AppClient) -> None:
    packed = client.get("/console/console.css", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/console/console.css", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


@pytest.mark.parametrize(
    "name", ["none.js", "../README.md", "%2e%2e/README.md", "..%2fjsconfig.json", "vendor/", "lib", "/etc/passwd"]
)
def test_nothing_else_can_be_asked_for(client: AppClient, name: str) -> None:
    for room in ("console", "docs"):
        assert client.get(f"/{room}/{name}", follow_redirects=False).status_code in (404, 307)


def test_libraries_are_light_in_all() -> None:
    files = [path for path in (WEB / "vendor").rglob("*") if path.is_file()]
    assert 0 < sum(len(gzip.compress(path.read_bytes())) for path in files) < MOST_COMPRESSED
    assert {path.parent.name for path in files if "LICENSE" in path.name} == {path.parent.name for path in files}


def test_views_are_small() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in WEB.glob("views/*.js")}
    assert {name: count for name, count in lines.items() if count > LONGEST_VIEW} == {}


def test_it_is_in_the_wheel_of_what_serves_it(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if name.startswith("gateway/console/")}
    assert inside == {f"gateway/console/{path.relative_to(WEB)}" for path in WEB.rglob("*") if path.is_file()}
    assert folder() == WEB, "in the tree it is served from where it is written"
