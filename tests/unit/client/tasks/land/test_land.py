"""Land cover through the clients: what is sent, what is read, and what the command saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from maskgate_client import DistrictRoads, LandReport
from maskgate_client.cli import main

SCENE = b"II*\0 and so on"


def test_a_report_says_what_the_gateway_said(ask: Any, gateway: Any) -> None:
    report: LandReport = ask("land", SCENE, buildings=b"{}", near=30, resolution=0.5, include=["overlay"])
    assert [(share.name, share.area_m2) for share in report.shares] == [("open ground", 0.75), ("road", 0.75)]
    assert (report.roads.length_m, report.roads.near_length_m) == (120.5, 20.0)
    assert report.districts is not None
    assert report.districts[0] == DistrictRoads(120.5, 20.0, 0, "North")
    assert (report.resolution, report.observed_share) == ((0.5, 0.5), 1.0)
    assert report.pictures == {"overlay": b"overlay"}
    (request,) = gateway.requests
    assert dict(request.url.params) == {"include": "overlay", "near": "30", "resolution": "0.5"}
    assert b'name="image"; filename="image"\r\nContent-Type: image/tiff' in request.read()
    assert b'name="buildings"' in request.read()
    assert b'name="districts"' not in request.read()


def test_a_file_comes_back_as_it_is(ask: Any, gateway: Any) -> None:
    assert ask("land_file", SCENE, model="m") == b"II*"
    assert gateway.requests[-1].headers["accept"] == "image/tiff"


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_saves_report_label_map_and_overlay(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    scene, houses, out = tmp_path / "town.tif", tmp_path / "houses.geojson", tmp_path / "land"
    scene.write_bytes(SCENE)
    houses.write_bytes(b"{}")
    arguments = ["land", str(scene), "--out", str(out), "--buildings", str(houses), "--near", "25"]
    assert main([*arguments, *(["--json"] if as_json else [])], transport=gateway.transport) == 0
    assert sorted(path.name for path in out.iterdir()) == ["town_labels.png", "town_land.json", "town_overlay.png"]
    assert gateway.requests[-1].url.params["near"] == "25"
    said = capsys.readouterr().out
    if as_json:
        assert json.loads(said)["roads"] == {"length_m": 120.5, "near_length_m": 20.0}
    else:
        assert [line.split() for line in said.splitlines()[2:5]] == [
            ["road", "50.00%", "1", "m²"],
            ["roads", "120", "m", "20", "m"],
            ["roads", "in", "North", "120", "m", "20", "m"],
        ]
