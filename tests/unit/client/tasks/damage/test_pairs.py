from __future__ import annotations

from pathlib import Path

import pytest
from maskgate_client.tasks.damage.pairs import find_pairs, name_pair


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_xbd_and_ida_pairs_are_found_also_in_images(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "guatemala-volcano_00000003_pre_disaster.png",
        "guatemala-volcano_00000003_post_disaster.JPG",
        "images/my own flood_00000001_pre_disaster.jpeg",
        "images/my own flood_00000001_post_disaster.png",
        "AOI1-tile_2-13_pre_disaster.png",
        "AOI1-tile_2-13_post_disaster.png",
    )
    pairs, strays = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["AOI1-tile_2-13", "guatemala-volcano_00000003", "my own flood_00000001"]
    assert pairs[2].pre == tmp_path / "images" / "my own flood_00000001_pre_disaster.jpeg"
    assert not strays


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "flood_0000001_pre_disaster.png",
        "flood_00000001_pre_disaster_target.png",
        "flood_00000001_pre_disaster.json",
        "flood_00000001_mid_disaster.png",
        "AOI1-tile_2_pre_disaster.png",
    ],
)
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    assert find_pairs(tmp_path) == ([], [])


def test_an_image_without_its_partner_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "flood_00000001_post_disaster.png")
    pairs, (stray,) = find_pairs(tmp_path)
    assert not pairs
    assert stray.path.name == "flood_00000001_post_disaster.png"
    assert stray.reason == "flood_00000001 has 0 pre images"


def test_two_candidates_for_one_side_are_not_guessed_between(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "flood_00000001_pre_disaster.png",
        "images/flood_00000001_pre_disaster.png",
        "flood_00000001_post_disaster.png",
    )
    pairs, strays = find_pairs(tmp_path)
    assert not pairs
    assert len(strays) == 3
    assert {stray.reason for stray in strays} == {"flood_00000001 has 2 pre images"}


@pytest.mark.parametrize(
    ("pre", "name"),
    [("flood_00000001_pre_disaster.png", "flood_00000001"), ("before the storm.tif", "before the storm")],
)
def test_a_given_pair_is_named_by_its_pre_image(pre: str, name: str) -> None:
    assert name_pair(Path("somewhere") / pre, Path("after.png")).name == name
