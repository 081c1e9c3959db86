"""The removal of clouds through the clients: what is sent, what is read, and what the command saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from maskgate_client import RestoreReport
from maskgate_client.cli import main

SCENE = b"II*\0 and so on"


def test_a_report_says_what_the_gateway_said(ask: Any, gateway: Any) -> None:
    report: RestoreReport = ask("restore", SCENE, include=["image", "invented"])
    assert (report.covered_share, report.invented_share, report.observed_share) == (0.5, 0.25, 1.0)
    assert report.pictures == {"image": b"image", "invented": b"invented"}
    assert report.notices == ("25.0% of the image is invented by restore-gan: clouds hid it",)
    assert report.provenance.model == "restore-gan"
    (request,) = gateway.requests
    assert request.url.params.get_list("include") == ["image", "invented"]
    assert b'name="image"; filename="image"\r\nContent-Type: image/tiff' in request.read()


def test_a_file_comes_back_as_it_is(ask: Any, gateway: Any) -> None:
    assert ask("restore_file", SCENE, model="m") == b"II*"
    assert gateway.requests[-1].headers["accept"] == "image/tiff"
    assert gateway.requests[-1].url.params["model"] == "m"


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_saves_both_pictures_and_the_report(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    scene, out = tmp_path / "town.tif", tmp_path / "restored"
    scene.write_bytes(SCENE)
    arguments = ["restore", str(scene), "--out", str(out)]
    assert main([*arguments, *(["--json"] if as_json else [])], transport=gateway.transport) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == {
        "town_restored.png": b"image",
        "town_invented.png": b"invented",
    }
    assert json.loads((out / "town_restore.json").read_text())["invented_share"] == 0.25
    said = capsys.readouterr().out
    if as_json:
        assert json.loads(said)["covered_share"] == 0.5
    else:
        assert [line.split() for line in said.splitlines()[:2]] == [["covered", "invented"], ["50.00%", "25.00%"]]
