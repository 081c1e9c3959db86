"""What a batch finds in a folder and in a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskgate_client.command import MisuseError
from maskgate_client.jobs.inputs import items_in
from maskgate_client.service import Task, TaskPart


def task(*parts: str, optional: tuple[str, ...] = ()) -> Task:
    described = [TaskPart(name, "", name not in optional, ()) for name in (*parts, *optional)]
    return Task("t", "", tuple(described), ("image/png",), "label map", "m")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_each_file_is_an_item_of_a_task_with_one_part(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.JPG", "sub/a.png", "ct.nii.gz", "notes.txt")
    items = items_in(str(tmp_path), task("image", optional=("area",)))
    assert [(item.name, dict(item.parts)) for item in items] == [
        ("a", {"image": str(tmp_path / "a.JPG")}),
        ("b", {"image": str(tmp_path / "b.png")}),
        ("ct", {"image": str(tmp_path / "ct.nii.gz")}),
        ("sub_a", {"image": str(tmp_path / "sub/a.png")}),
    ]


def test_files_whose_names_differ_in_the_part_are_one_item(tmp_path: Path) -> None:
    touch(tmp_path, "x_00000001_pre_disaster.png", "x_00000001_post_disaster.png", "Post.tif", "PRE.tif", "preview.png")
    items = items_in(str(tmp_path), task("pre", "post"))
    assert {item.name: {part: Path(file).name for part, file in item.parts.items()} for item in items} == {
        "x_00000001_disaster": {"pre": "x_00000001_pre_disaster.png", "post": "x_00000001_post_disaster.png"},
        "item": {"pre": "PRE.tif", "post": "Post.tif"},
    }


def test_a_file_without_its_partner_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "x_pre.png")
    with pytest.raises(MisuseError, match="x lacks post"):
        items_in(str(tmp_path), task("pre", "post"))


@pytest.mark.parametrize("names", [(), ("notes.txt",)])
def test_a_folder_without_inputs_is_a_misuse(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(MisuseError, match=r"nothing for t in .*; it takes image"):
        items_in(str(tmp_path), task("image"))


def test_names_that_are_there_twice_are_numbered(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.jpg")
    assert [item.name for item in items_in(str(tmp_path), task("image"))] == ["00000_a", "00001_a"]
    (tmp_path / "one").mkdir()
    touch(tmp_path / "one", "report.png")
    assert [item.name for item in items_in(str(tmp_path / "one"), task("image"))] == ["00000_report"]


def test_a_table_names_files_and_addresses(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("name,pre,post\nOne town/../x,a.png,s3://bucket/b.png\n,sub/c.png,https://host/d.png\n")
    items = items_in(str(table), task("pre", "post", optional=("districts",)))
    assert [(item.name, dict(item.parts)) for item in items] == [
        ("One_town_.._x", {"pre": str(tmp_path / "a.png"), "post": "s3://bucket/b.png"}),
        ("c", {"pre": str(tmp_path / "sub/c.png"), "post": "https://host/d.png"}),
    ]


@pytest.mark.parametrize("head", ["pre", "pre,post,colour", ""])
def test_a_table_of_other_columns_is_a_misuse(tmp_path: Path, head: str) -> None:
    table = tmp_path / "list.csv"
    table.write_text(f"{head}\n")
    with pytest.raises(MisuseError, match="needs the columns pre, post"):
        items_in(str(table), task("pre", "post"))
