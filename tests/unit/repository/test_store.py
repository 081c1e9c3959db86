"""Scanning a repository: sound folders are served, each faulty one is named and stops no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.repository.store import bytes_digest, file_digest, labels_text, scan
from tests.support.trivial import write_trivial_model

Damage = Callable[[Path], Any]


def edit(name: str, old: str, new: str) -> Damage:
    """Return a damage that replaces text in a file, which has to be there."""

    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return damage


def edit_card(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changes}))

    return damage


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no card": (remove("card.json"), "card.json is missing"),
    "no json": (write("card.json", b"{"), "card.json: Invalid JSON: EOF while parsing an object at line 1 column 1"),
    "not utf-8": (write("card.json", b'{"name": "\xff"}'), "card.json: Invalid JSON: "),
    "unknown task": (
        edit_card(task="weather"),
        "card.json: there is no task 'weather'; models are of ",
    ),
    "unknown key": (edit_card(colour="red"), "card.json, key 'colour': Extra inputs are not permitted"),
    "nested key": (
        edit("card.json", '"value": 3', '"value": 300'),
        "card.json, key 'classes.3.value': Input should be less than or equal to 255",
    ),
    "several keys": (edit_card(task="weather", title=None), "card.json, key 'title': "),
    "contradictory card": (edit_card(overlap=64), "card.json: overlap must be smaller than the tile"),
    "no version": (edit_card(digests={}), "card.json, key 'digests': "),
    "leading zero": (edit_card(digests={"01": bytes_digest(b"")}), "card.json, key 'digests.01.[key]': "),
    "renamed": (lambda folder: folder.rename(folder.with_name("other")), "the folder is named 'other', its card 'm'"),
    "no config": (remove("config.pbtxt"), "config.pbtxt is missing"),
    "broken config": (write("config.pbtxt", b"name: {"), "config.pbtxt cannot be read: 1:7 : "),
    "config in latin-1": (write("config.pbtxt", b'name: "\xe9"'), "config.pbtxt cannot be read: it is not UTF-8 text"),
    "other name": (edit("config.pbtxt", 'name: "m"', 'name: "n"'), "config.pbtxt says name 'n', the card 'm'"),
    "other backend": (
        edit("config.pbtxt", '"onnxruntime"', '"pytorch"'),
        "config.pbtxt says backend 'pytorch', the card 'onnxruntime'",
    ),
    "other batch": (
        edit("config.pbtxt", "max_batch_size: 8", "max_batch_size: 4"),
        "config.pbtxt says max_batch_size 4, the card 8",
    ),
    "other input name": (
        edit("config.pbtxt", '"post"', '"after"'),
        "config.pbtxt has the inputs ['after', 'pre'], the card ['post', 'pre']",
    ),
    "other output name": (
        edit("config.pbtxt", '"label_map"', '"mask"'),
        "config.pbtxt has the outputs ['mask', 'probabilities'], the card ['label_map', 'probabilities']",
    ),
    "other dtype": (
        edit("config.pbtxt", "TYPE_UINT8", "TYPE_FP32"),
        "config.pbtxt says input 'pre' is TYPE_FP32 [64, 64, 3], the card TYPE_UINT8 [64, 64, 3]; ",
    ),
    "other dims": (
        edit("config.pbtxt", "dims: 5", "dims: 4"),
        "config.pbtxt says output 'probabilities' is TYPE_UINT8 [64, 64, 4], the card TYPE_UINT8 [64, 64, 5]",
    ),
    "no labels": (remove("labels.txt"), "labels.txt is missing"),
    "other labels": (
        edit("labels.txt", "band-3", "band-x"),
        "labels.txt differs from the classes of the card",
    ),
    "missing label": (edit("labels.txt", "band-4\n", ""), "labels.txt differs from the classes of the card"),
    "no file": (remove("1/model.onnx"), "version 1 has no model.onnx"),
    "folder for file": (
        lambda folder: (folder / "1" / "model.onnx").rename(folder / "1" / "model.pt"),
        "version 1 has no model.onnx",
    ),
    "no folder": (
        lambda folder: (folder / "1").rename(folder / "one"),
        "version 1 of the card has no folder",
    ),
    "extra version": (lambda folder: (folder / "2").mkdir(), "version 2 has a folder but no digest in the card"),
    "other bytes": (write("1/model.onnx", b"x"), "the digest of 1/model.onnx is not the one in the card"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_fault_is_named_and_the_others_are_served(tmp_path: Path, name: str) -> None:
    damage, reason = DAMAGES[name]
    for model in ("a", "m", "z"):
        write_trivial_model(tmp_path, model)
    damage(tmp_path / "m")
    repository = scan(tmp_path)
    assert list(repository.models) == ["a", "z"]
    [fault] = repository.faults
    assert fault.model == ("other" if name == "renamed" else "m")
    assert fault.reason.startswith(reason)
    assert "\n" not in fault.reason
    assert "Traceback" not in fault.reason


def test_a_sound_folder_is_described(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m", classes=2, inputs=("pre",))
    repository = scan(tmp_path)
    assert repository.faults == ()
    model = repository.models["m"]
    assert (model.name, model.directory, model.newest) == ("m", folder, 1)
    assert model.versions == {1: folder / "1" / "model.onnx"}
    assert model.digest == file_digest(folder / "1" / "model.onnx")
    assert [tensor.name for tensor in model.card.inputs] == ["pre"]


def test_the_newest_version_is_the_highest_number(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")
    for version in ("10", "9"):
        (folder / version).mkdir()
        (folder / version / "model.onnx").write_bytes(version.encode())
    contents = {"1": (folder / "1" / "model.onnx").read_bytes(), "10": b"10", "9": b"9"}
    edit_card(digests={version: bytes_digest(content) for version, content in contents.items()})(folder)
    model = scan(tmp_path).models["m"]
    assert list(model.versions) == [1, 9, 10]
    assert model.newest == 10
    assert model.digest == bytes_digest(b"10")


def test_models_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a-1", "a", "c"):
        write_trivial_model(tmp_path, name)
    assert list(scan(tmp_path).models) == ["a", "a-1", "b", "c"]


def test_only_visible_folders_are_models(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("not a model")
    (tmp_path / ".staging").mkdir()
    folder = write_trivial_model(tmp_path, "m")
    (folder / "notes").mkdir()
    (folder / "0").mkdir()
    repository = scan(tmp_path)
    assert list(repository.models) == ["m"]
    assert repository.faults == ()


def test_an_empty_repository_has_neither_models_nor_faults(tmp_path: Path) -> None:
    repository = scan(tmp_path)
    assert (dict(repository.models), repository.faults) == ({}, ())


def test_a_missing_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "absent")


def test_a_folder_in_place_of_a_file_is_a_fault(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")
    (folder / "card.json").unlink()
    (folder / "card.json").mkdir()
    [fault] = scan(tmp_path).faults
    assert fault.reason == "cannot be read: Is a directory"


def test_labels_are_the_class_names_in_the_order_of_their_values(tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "m", classes=3)
    assert labels_text(scan(tmp_path).models["m"].card) == "band-0\nband-1\nband-2\n"
