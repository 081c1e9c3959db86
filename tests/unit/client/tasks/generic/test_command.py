"""The command `maskgate ask`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from maskgate_client.cli import main

PHOTO = b"\x89PNG and so on"


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "my photo.png"
    path.write_bytes(PHOTO)
    return str(path)


def test_without_a_task_those_that_there_are_are_listed(gateway: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask"], transport=gateway.transport) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "task         title                 parts          answer",
        "rust         Rust on a photograph  image, area    label map",
        "breed        Breed of a dog        image          scores",
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_label_map_is_saved_with_its_pictures(
    gateway: Any, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    out = tmp_path / "out"
    more = ["--out", str(out), "--set", "min_area=5", "--model", "m", *(["--json"] if as_json else [])]
    assert main(["ask", "rust", photo, *more], transport=gateway.transport) == 0
    names = ["my photo_label_map.png", "my photo_overlay.png", "my photo_rust.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert json.loads((out / names[2]).read_text())["model"] == "rust-1"
    params = gateway.requests[-1].url.params
    assert (params["min_area"], params["model"], params.get_list("include")) == ("5", "m", ["label_map", "overlay"])
    said = capsys.readouterr()
    if as_json:
        assert json.loads(said.out)["classes"][2]["name"] == "cardboard"
    else:
        assert said.out.splitlines()[0] == "class          share   pixels  regions"
        assert said.out.splitlines()[3].split() == ["cardboard", "50.00%", "3", "1"]
    assert "my photo: note: alpha channel dropped" in said.err


def test_a_task_without_those_pictures_goes_without(gateway: Any, photo: str, tmp_path: Path) -> None:
    def refusing(request: httpx.Request) -> httpx.Response | None:
        if "include" not in request.url.params:
            return None
        return httpx.Response(422, json={"code": "parameter-invalid", "errors": [{"pointer": "/include"}]})

    gateway.instead = refusing
    out = tmp_path / "out"
    assert main(["ask", "rust", photo, "--out", str(out)], transport=gateway.transport) == 0
    assert [path.name for path in out.iterdir()] == ["my photo_rust.json"]
    # What is asked for by name is not left out in silence.
    named = ["ask", "rust", photo, "--out", str(out), "--include", "overlay", "--force"]
    assert main(named, transport=gateway.transport) == 1


def test_scores_are_a_table(gateway: Any, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "breed", photo, "--out", str(tmp_path)], transport=gateway.transport) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "class     score   label",
        "COVID-19  0.2500",
        "NORMAL    0.7500  *",
    ]


def test_masks_are_a_table_and_every_part_is_a_file(
    gateway: Any, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = tmp_path / "prompt.json"
    prompt.write_text('{"box": [0, 0, 3, 2]}')
    assert main(["ask", "interactive", photo, str(prompt), "--out", str(tmp_path)], transport=gateway.transport) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["object  area  box", "     1     7  1 0 4 3"]
    body = gateway.requests[-1].read()
    assert b'{"box": [0, 0, 3, 2]}' in body
    assert b"photo" not in body, "file names stay at home"


def test_another_format_is_saved_as_a_file(
    gateway: Any, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["ask", "rust", photo, "--accept", "image/tiff", "--out", str(out)]
    assert main(command, transport=gateway.transport) == 0
    (path,) = out.iterdir()
    assert path.name.startswith("my photo_rust.tif")
    assert path.read_bytes() == b"image/tiff"
    assert f"Saved {path}" in capsys.readouterr().out


def test_nothing_is_replaced_in_silence(
    gateway: Any, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ask", "breed", photo, "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 0
    (tmp_path / "my photo_breed.json").write_text("mine")
    assert main(command, transport=gateway.transport) == 1
    assert "my photo_breed.json: is there already; --force replaces it" in capsys.readouterr().err
    assert (tmp_path / "my photo_breed.json").read_text() == "mine"
    assert [request.url.path for request in gateway.requests].count("/v1/breed") == 1
    assert main([*command, "--force"], transport=gateway.transport) == 0
    assert (tmp_path / "my photo_breed.json").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["moss"], "no task 'moss'; it has rust"),
        (["rust"], "rust takes image [area]"),
        (["rust", "a", "b", "c"], "rust takes image [area]"),
        (["interactive", "a"], "interactive takes image prompt"),
    ],
)
def test_misuse_says_what_there_is(
    gateway: Any, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", *arguments], transport=gateway.transport) == 2
    assert said in capsys.readouterr().err
    assert [request.url.path for request in gateway.requests] == ["/v1/tasks"]


@pytest.mark.parametrize("setting", ["min_area", "=5", "min area=5"])
def test_a_parameter_is_a_name_and_a_value(setting: str) -> None:
    with pytest.raises(SystemExit):
        main(["ask", "rust", "a.png", "--set", setting])


def test_a_ct_is_told_by_its_lesions(
    gateway: Any, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["ask", "ct", photo, "--include", "nifti", "--out", str(out)], transport=gateway.transport) == 0
    assert sorted(path.name for path in out.iterdir()) == ["my photo_ct.json", "my photo_nifti"]
    assert capsys.readouterr().out.splitlines()[1] == "ground-glass  0.01  25.00%       5       1"
