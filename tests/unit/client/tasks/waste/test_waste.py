"""Waste through the clients: what is sent, what is read, and what the command saves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
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
    assert report.provenance.model == "waste-lite0"
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


def folder_of(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(PHOTO + name.encode())
    return folder


def test_a_folder_is_done_photo_by_photo(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = folder_of(tmp_path / "photos", "b.JPG", "a.png", "b.png", "notes.txt")
    out = tmp_path / "waste"
    assert main(["waste", str(photos), "--out", str(out)], transport=gateway.transport) == 0
    names = [
        f"{name}_{what}" for name in ("a", "b.JPG", "b.png") for what in ("labels.png", "overlay.png", "waste.json")
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted(names), "of one stem, told apart by their endings"
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["image", "class", "share", "pixels", "pieces"]
    assert [row.split()[0] for row in rows[1:10:3]] == ["a", "b.JPG", "b.png"]
    assert f"Saved in {out}: NAME_labels.png, NAME_overlay.png, NAME_waste.json" in rows
    sent = [request for request in gateway.requests if request.method == "POST"]
    assert len(sent) == 3
    assert all(b"notes" not in request.read() for request in sent)


def test_a_failing_photo_does_not_stop_the_others(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {"title": "Image unreadable", "detail": "It is.", "code": "x", "request_id": "r-7"}
    document: dict[str, Any] = base | {"errors": [{"pointer": "/image"}]}
    gateway.instead = lambda request: (
        httpx.Response(422, json=document) if request.method == "POST" and b"bad.png" in request.read() else None
    )
    photos = folder_of(tmp_path / "photos", "bad.png", "good.png")
    out = tmp_path / "waste"
    assert main(["waste", str(photos), "--out", str(out), "--json"], transport=gateway.transport) == 1
    said = capsys.readouterr()
    bad, good = map(json.loads, said.out.splitlines())
    assert bad == {"name": "bad", "error": "Image unreadable: It is. (/image, request r-7)"}
    assert good["name"] == "good"
    assert "maskgate: bad: Image unreadable" in said.err
    assert sorted(path.name for path in out.iterdir())[0] == "good_labels.png"


def test_nothing_is_replaced_in_silence(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = folder_of(tmp_path / "photos", "a.png", "b.png"), tmp_path / "waste"
    out.mkdir()
    (out / "a_overlay.png").write_bytes(b"mine")
    command = ["waste", str(photos), "--out", str(out)]
    assert main(command, transport=gateway.transport) == 1
    assert "a_overlay.png: is there already; --force replaces it" in capsys.readouterr().err
    assert (out / "a_overlay.png").read_bytes() == b"mine"
    assert sorted(path.name for path in out.iterdir())[1:] == ["b_labels.png", "b_overlay.png", "b_waste.json"]
    assert sum(request.method == "POST" for request in gateway.requests) == 1, "what would be lost is not asked for"
    assert main([*command, "--force"], transport=gateway.transport) == 0
    assert (out / "a_overlay.png").read_bytes() == b"overlay"


def test_a_folder_without_photos_is_misuse(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["waste", str(tmp_path)], transport=gateway.transport) == 2
    assert "endings .png, .jpg, .jpeg" in capsys.readouterr().err
    assert gateway.requests == []


def test_a_gateway_that_is_down_is_said_once_for_a_folder(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    gateway.instead = refuse
    photos = folder_of(tmp_path / "photos", "a.png", "b.png")
    assert main(["waste", str(photos)], transport=gateway.transport) == 1
    assert capsys.readouterr().err.count("no gateway answers") == 1


def test_a_bar_shows_how_many_are_done(gateway: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    photos = folder_of(tmp_path / "photos", "a.png", "b.png")
    assert main(["waste", str(photos), "--out", str(tmp_path / "waste")], transport=gateway.transport) == 0
    assert "2/2" in terminal.getvalue()


def test_pieces_become_a_dataset(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "one.jpg"
    photo.write_bytes(PHOTO)
    command = ["waste", str(photo), "--export", "coco", "--out", str(tmp_path / "out")]
    assert main(command, transport=gateway.transport) == 0
    coco = json.loads((tmp_path / "out" / "coco" / "annotations.json").read_text())
    [piece] = coco["annotations"]
    assert [coco["categories"][0]["name"], piece["bbox"]] == ["cardboard", [1, 1, 2, 1]]
    assert f"Exported {tmp_path / 'out' / 'coco'}" in capsys.readouterr().out
    assert main([*command, "--force", "--export", "geojson"], transport=gateway.transport) == 2
