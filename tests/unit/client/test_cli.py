from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client.cli import main
from maskgate_client.images import png_bytes
from PIL import Image

BAD = b"not an image"


def write_pair(folder: Path, name: str, *, pre: bytes | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    image = png_bytes(np.zeros((64, 64, 3), np.uint8))
    (folder / f"{name}_pre_disaster.png").write_bytes(pre or image)
    (folder / f"{name}_post_disaster.png").write_bytes(image)


def refuse_bad(request: httpx.Request) -> httpx.Response | None:
    """Answer uploads that hold `BAD` with a problem."""
    if BAD not in request.read():
        return None
    document = {"title": "Image unreadable", "detail": "The part pre is no image.", "code": "x", "request_id": "r-7"}
    return httpx.Response(422, json=document)


def test_examples_are_pairs_that_the_next_command_finds(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my examples"
    assert main(["example", "--out", str(out), "--seed", "7", "--size", "96", "--count", "2"]) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"example_0000000{n}_{when}_disaster.png" for n in (7, 8) for when in ("post", "pre")]
    with Image.open(out / names[0]) as picture:
        assert picture.size == (96, 96)
    assert capsys.readouterr().out.endswith(f"\nNow try:  maskgate damage '{out}'\n")
    assert main(["damage", str(out), "--out", str(tmp_path / "maps")], transport=gateway.transport) == 0


def test_a_pair_is_saved_as_map_overlay_and_report(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pre, post, out = tmp_path / "before the storm.png", tmp_path / "after.png", tmp_path / "new" / "maps"
    for path in (pre, post):
        path.write_bytes(png_bytes(np.zeros((64, 64, 3), np.uint8)))
    chosen = ["--model", "m", "--model-version", "3"]
    assert main(["damage", str(pre), str(post), "--out", str(out), *chosen], transport=gateway.transport) == 0
    with Image.open(out / "before the storm_damage.png") as picture:
        assert picture.mode == "P"
    assert (out / "before the storm_overlay.png").read_bytes() == b"overlay"
    assert json.loads((out / "before the storm.json").read_text())["model"] == "bd-siamunet"
    uploads = [request for request in gateway.requests if request.method == "POST"]
    chosen_there = [(request.url.params["model"], request.url.params["version"]) for request in uploads]
    assert chosen_there == [("m", "3")], "one run of the model"
    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == [
        "pair              buildings  no-damage  destroyed",
        "before the storm          1          0          1",
    ]
    assert "before the storm: note: post image: alpha dropped" in said.err


def test_a_folder_is_summed_up(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2, 3):
        write_pair(tmp_path / "images", f"great flood_0000000{number}")
    assert main(["damage", str(tmp_path), "--out", str(tmp_path / "maps")], transport=gateway.transport) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-3:] for row in rows[1:5]] == [["1", "0", "1"]] * 3 + [["3", "0", "3"]]
    assert len(list((tmp_path / "maps").iterdir())) == 9


def test_a_failing_pair_does_not_stop_the_others(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path, "flood_00000001", pre=BAD)
    write_pair(tmp_path, "flood_00000002")
    gateway.instead = refuse_bad
    assert main(["damage", str(tmp_path), "--out", str(tmp_path / "maps")], transport=gateway.transport) == 1
    said = capsys.readouterr()
    assert "flood_00000001: Image unreadable: The part pre is no image. (request r-7)" in said.err
    assert "flood_00000002" in said.out
    assert "flood_00000001" not in said.out
    assert sorted(path.name[:14] for path in (tmp_path / "maps").iterdir()) == ["flood_00000002"] * 3


def test_an_unpaired_image_is_named_and_the_pairs_are_done(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path, "flood_00000001")
    (tmp_path / "flood_00000002_pre_disaster.png").touch()
    assert main(["damage", str(tmp_path), "--out", str(tmp_path / "maps")], transport=gateway.transport) == 1
    assert "flood_00000002_pre_disaster.png: flood_00000002 has 0 post images" in capsys.readouterr().err
    assert (tmp_path / "maps" / "flood_00000001_damage.png").exists()


def test_json_is_one_line_per_pair(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pair(tmp_path, "flood_00000001")
    write_pair(tmp_path, "flood_00000002", pre=BAD)
    gateway.instead = refuse_bad
    out = tmp_path / "maps"
    assert main(["damage", str(tmp_path), "--out", str(out), "--json"], transport=gateway.transport) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["buildings"] == {"no-damage": 0, "destroyed": 1}
    assert first["files"][0] == str(out / "flood_00000001_damage.png")
    assert second == {"name": "flood_00000002", "error": second["error"]}
    assert "no image" in second["error"]


def test_an_image_that_cannot_be_read_is_named(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone.png"
    assert main(["damage", str(gone), str(gone), "--out", str(tmp_path)], transport=gateway.transport) == 1
    assert f"{gone}: No such file" in capsys.readouterr().err


def test_nothing_found_says_which_names_are_looked_for(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["damage", str(tmp_path)], transport=gateway.transport) == 2
    assert "_pre_disaster.png" in capsys.readouterr().err
    assert not gateway.requests


@pytest.mark.parametrize("count", [1, 3])
def test_neither_two_images_nor_a_folder(tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["damage", *[str(tmp_path / "x.png")] * count]) == 2
    assert "two images, or one folder" in capsys.readouterr().err


def test_a_gateway_that_is_down_is_one_clear_line(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    write_pair(tmp_path, "flood_00000001")
    write_pair(tmp_path, "flood_00000002")
    gateway.instead = refuse
    assert main(["damage", str(tmp_path), "--url", "http://nowhere:9"], transport=gateway.transport) == 1
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    assert "no gateway answers at http://nowhere:9" in said.err


def test_models_are_listed_and_a_failed_one_shows(gateway: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"], transport=gateway.transport) == 1
    assert capsys.readouterr().out.splitlines() == [
        "name         task    version  state   reason",
        "bd-siamunet  damage        1  ready",
        "broken                        failed  no card.json",
    ]


def test_the_environment_names_the_gateway_and_the_option_wins(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_URL", "http://from-environment:1")
    main(["models"], transport=gateway.transport)
    main(["models", "--url", "http://from-option:2"], transport=gateway.transport)
    assert [request.url.host for request in gateway.requests] == ["from-environment", "from-option"]


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


def test_the_environment_holds_the_key(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_KEY", "secret-1\n")
    main(["models"], transport=gateway.transport)
    assert gateway.requests[0].headers["authorization"] == "Bearer secret-1"


def test_a_key_that_is_none_is_not_repeated(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKGATE_KEY", "half a secret")
    assert main(["models"], transport=gateway.transport) == 2
    said = capsys.readouterr().err
    assert "MASKGATE_KEY" in said
    assert "secret" not in said
    assert not gateway.requests


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["segment", "x.png", "--box", "1,2,3"],
        ["segment", "x.png", "--box", "1,2,3,4,5,6"],
        ["segment", "x.png", "--click", "1,2,3,4"],
        ["segment", "x.png", "--click", "nan,1"],
        ["segment", "x.png", "--not", "here"],
        ["segment", "x.png", "--polygon", "1,1,2,2"],
        ["segment", "x.png", "--extreme", "1,1,2,2,3,3"],
        ["segment", "x.png", "--click", "1,1", "--threshold", "1"],
        ["segment", "x.png", "--click", "1,1", "--threshold", "half"],
        ["models", "--url", "127.0.0.1:8080"],
        ["models", "--url", "http://host:port"],
        ["models", "--url", "ftp://host"],
        ["example", "--size", "63"],
        ["example", "--count", "none"],
        [],
    ],
)
def test_misuse_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_package_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["maskgate", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("maskgate_client", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("maskgate 0.")
