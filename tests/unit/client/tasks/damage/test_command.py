"""The command `maskgate damage`, and the examples for it."""

from __future__ import annotations

import json
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
