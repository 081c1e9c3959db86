"""What the client's README says to type is typed here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client.cli import main
from maskgate_client.images import png_bytes

from tests.support.places import ROOT

README = (ROOT / "clients" / "python" / "README.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DICOM = bytes(128) + b"DICM"


@pytest.fixture(autouse=True)
def desk(gateway: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sit where a reader sits: in a folder with files of the names the README uses, with a gateway at its address."""

    def refusing(request: httpx.Request) -> httpx.Response | None:
        if b"9999" not in request.read():
            return None
        document = {"title": "Click outside the image", "detail": "It is.", "code": "click-outside"}
        return httpx.Response(422, json=document | {"errors": [{"pointer": "/prompt/positive/0"}]})

    gateway.instead = refusing
    answering = gateway.transport
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: answering.handle_request(request))
    monkeypatch.setattr(
        httpx.AsyncHTTPTransport, "handle_async_request", lambda _, request: answering.handle_async_request(request)
    )
    monkeypatch.chdir(tmp_path)
    picture = png_bytes(np.zeros((8, 8, 3), np.uint8))
    for name in ("pre.png", "post.png", "photo.jpg", "one.jpg", "two.jpg", "photos/one.jpg", "photos/two.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(picture)
    for name in ("pre.tif", "post.tif"):
        Path(name).write_bytes(b"II*\0")
    for name in ("film.dcm", "slice.dcm", "series/0", "series/1"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(_DICOM)
    for name in ("districts.geojson", "town.geojson"):
        Path(name).write_text("{}")
    Path("boxes.csv").write_text("image,x0,y0,x1,y1\none.jpg,1,1,5,5\ntwo.png,0,0,3,3\n")


def blocks(kind: str) -> list[str]:
    return [text for language, text in _BLOCK.findall(README) if language == kind]


def test_every_block_is_run() -> None:
    assert {language for language, _ in _BLOCK.findall(README)} == {"console", "python"}


def test_commands_run_and_print_such_tables(capsys: pytest.CaptureFixture[str]) -> None:
    ran = 0
    for block in blocks("console"):
        lines = block.splitlines()
        for line, after in zip(lines, [*lines[1:], ""], strict=True):
            if not line.startswith("$ maskgate "):
                continue
            assert main(shlex.split(line, comments=True)[2:]) == 0, line
            said = capsys.readouterr().out
            if after and not after.startswith("$"):
                assert said.split()[:2] == after.split()[:2], line
            ran += 1
    assert ran == README.count("$ maskgate ") > 9
    for name in ("town.gpkg", "objects/photo_mask.png", "ct/series_seg.dcm", "saliency.png", "rust/photo_rust.json"):
        assert Path(name).stat().st_size > 0, name


def test_snippets_run_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {}
    for number, block in enumerate(blocks("python")):
        exec(compile(block, f"README, snippet {number}", "exec"), known)  # noqa: S102
    said = capsys.readouterr().out
    assert "/prompt/positive/0 It is." in said
    assert "{'no-damage': 0, 'destroyed': 1}" in said


def test_options_that_are_named_exist(capsys: pytest.CaptureFixture[str]) -> None:
    answering = ("damage", "segment", "ct", "radiograph", "waste", "land", "restore", "ask")
    for command in ("example", *answering, "batch", "models"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
    told = capsys.readouterr().out
    assert set(re.findall(r"`(--[a-z-]+)", README)) <= set(re.findall(r"--[a-z-]+", told))
