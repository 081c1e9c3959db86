"""Waste through the clients: what is sent, what is read, and what the command saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskgate_client import WasteReport
from maskgate_client.cli import main

PHOTO = b"\xff\xd8\xff and so on"


def test_a_report_says_what_the_gateway_said(ask: Any, gateway: Any) -> None:
    report: WasteReport = ask("waste", PHOTO, model="m", version=3, min_area=9, include=["overlay"])
    assert [(share.value, share.name, share.share) for share in report.classes] == [
        (0, "background", 0.5),
        (1, "rigid_plastic", 0.0),
        (2, "cardboard", 0.5),
    ]
    assert report.pieces() == {"rigid_plastic": 0, "cardboard": 1}
    assert report.regions[0].polygon == ((1, 1), (3, 1), (3, 2), (1, 2))
    assert report.pictures == {"overlay": b"overlay"}
    assert report.notices == ("alpha channel dropped",)
    assert report.provenance.model == "waste-fanet"
    assert "pictures" not in report.document
    (request,) = gateway.requests
    assert dict(request.url.params) == {"include": "overlay", "min_area": "9", "model": "m", "version": "3"}
    assert b'name="image"; filename="image"' in request.read(), "file names stay at home"
    assert b"image/jpeg" in request.read()


def test_pixels_are_sent_as_png_and_nothing_unasked_for(ask: Any, gateway: Any) -> None:
    ask("waste", np.zeros((4, 5, 3), np.uint8))
    (request,) = gateway.requests
    assert dict(request.url.params) == {}
    assert b"\x89PNG" in request.read()


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_saves_report_label_map_and_overlay(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    photo, out = tmp_path / "my photo.jpg", tmp_path / "new" / "waste"
    photo.write_bytes(PHOTO)
    arguments = ["waste", str(photo), "--out", str(out), "--min-area", "5", *(["--json"] if as_json else [])]
    assert main(arguments, transport=gateway.transport) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "my photo_labels.png",
        "my photo_overlay.png",
        "my photo_waste.json",
    ]
    assert (out / "my photo_overlay.png").read_bytes() == b"overlay"
    assert json.loads((out / "my photo_waste.json").read_text())["regions"][0]["name"] == "cardboard"
    said = capsys.readouterr()
    assert "alpha channel dropped" in said.err
    if as_json:
        line = json.loads(said.out)
        assert line["classes"]["cardboard"] == {"pixels": 3, "share": 0.5}
        assert line["pieces"] == {"rigid_plastic": 0, "cardboard": 1}
    else:
        assert [word for word in said.out.splitlines()[3].split() if word] == ["cardboard", "50.00%", "3", "1"]
    assert gateway.requests[-1].url.params["min_area"] == "5"


def test_a_photo_that_is_not_there_is_said(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["waste", str(tmp_path / "none.jpg")], transport=gateway.transport) == 1
    assert "none.jpg" in capsys.readouterr().err
    assert gateway.requests == []
