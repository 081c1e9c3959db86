"""The command `maskgate segment`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client.cli import main
from maskgate_client.images import png_bytes


def photo(folder: Path) -> Path:
    path = folder / "my photo.png"
    path.write_bytes(png_bytes(np.zeros((3, 4, 3), np.uint8)))
    return path


def test_an_object_is_saved_as_mask_overlay_and_report(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "objects"
    shown = ["--box", "0,0,3,2", "--click", "2,1", "--click", "1.5,1", "--not", "0,0", "--tight"]
    chosen = ["--model", "m", "--model-version", "3", "--threshold", "0.25"]
    command = ["segment", str(photo(tmp_path)), *shown, *chosen, "--out", str(out)]
    assert main(command, transport=gateway.transport) == 0
    (request,) = gateway.requests
    assert (
        b'{"box": [0.0, 0.0, 3.0, 2.0], "positive": [[2.0, 1.0], [1.5, 1.0]], "negative": [[0.0, 0.0]], "tight": true}'
    ) in request.read()
    assert dict(request.url.params) | {"include": ""} == {
        "model": "m",
        "version": "3",
        "threshold": "0.25",
        "include": "",
    }
    assert (out / "my photo_mask.png").read_bytes() == b"mask"
    assert (out / "my photo_overlay.png").read_bytes() == b"overlay"
    assert json.loads((out / "my photo.json").read_text())["objects"][0]["area"] == 7
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "image     area  box      score",
        "my photo     7  1 0 4 3  0.75",
        "",
        f"Saved in {out}: my photo_mask.png, my photo_overlay.png, my photo.json",
    ]
    assert said.err.splitlines() == [
        "maskgate: my photo: note: alpha channel dropped",
        "maskgate: my photo: note: the inside click was taken at (2, 1)",
    ]


def test_outlines_strokes_and_extreme_points_are_taken_too(gateway: Any, tmp_path: Path) -> None:
    shown = ["--extreme", "0,0,1,1,2,2,3,0", "--polygon", "0,0,3,0,3,2", "--stroke", "0,1,2,1", "--stroke", "1,1"]
    command = ["segment", str(photo(tmp_path)), *shown, "--not-stroke", "3,0", "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 0
    assert (
        b'{"extreme": [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 0.0]], "polygon": [[0.0, 0.0], [3.0, 0.0], [3.0, 2.0]]'
        b', "strokes": {"object": [[[0.0, 1.0], [2.0, 1.0]], [[1.0, 1.0]]], "background": [[[3.0, 0.0]]]}}'
    ) in gateway.requests[0].read()


def test_an_object_as_json_and_for_coco(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["segment", str(photo(tmp_path)), "--click", "1,1", "--out", str(tmp_path), "--coco", "--json"]
    assert main(command, transport=gateway.transport) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["objects"] == [{"box": [1, 0, 4, 3], "area": 7, "score": 0.75}]
    assert line["files"][-1] == str(tmp_path / "my photo_coco.json")
    assert json.loads((tmp_path / "my photo_coco.json").read_text()) == {"images": [{"id": 1}]}


def test_an_object_that_is_not_found_is_said(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual = gateway.transport.handler

    def instead(request: httpx.Request) -> httpx.Response:
        gateway.instead = lambda _: None
        answer = usual(request)
        document = answer.json()
        document["objects"][0] |= {"box": None, "score": None, "area": 0}
        return httpx.Response(200, json=document)

    gateway.instead = instead
    command = ["segment", str(photo(tmp_path)), "--click", "1,1", "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 0
    assert "nothing was found" in capsys.readouterr().out


def test_a_refused_prompt_is_one_clear_line_and_nothing_is_saved(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {"title": "Click outside the image", "detail": "It is.", "code": "click-outside", "request_id": "r-7"}
    gateway.instead = lambda _: httpx.Response(422, json=document)
    out = tmp_path / "objects"
    command = ["segment", str(photo(tmp_path)), "--click", "9,9", "--out", str(out)]
    assert main(command, transport=gateway.transport) == 1
    assert capsys.readouterr().err == "maskgate: Click outside the image: It is. (request r-7)\n"
    assert not out.exists()


@pytest.mark.parametrize("shown", [[], ["--tight"]])
def test_nothing_shown_is_misuse(
    gateway: Any, tmp_path: Path, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(photo(tmp_path)), *shown], transport=gateway.transport) == 2
    assert "show the object" in capsys.readouterr().err
    assert not gateway.requests
