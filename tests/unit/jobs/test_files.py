"""Results are put in their place once, and uploads end where their files do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import UploadMoved, UploadNotFound
from gateway.jobs.files import BODY, Files, Receiving, lock
from gateway.jobs.model import Result

RESULT = Result("image/png", 3, "00" * 32, {})
OTHER = Result("text/plain", 5, "11" * 32, {})
KEY = "ab" * 32


def make(files: Files, content: bytes) -> Path:
    folder = files.make()
    (folder / BODY).write_bytes(content)
    return folder


def test_the_first_result_of_a_key_stays(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert files.result("one", KEY) is None
    assert files.keep(make(files, b"one"), "one", KEY, RESULT) == RESULT
    assert files.keep(make(files, b"other"), "one", KEY, OTHER) == RESULT
    assert Files(tmp_path).result("one", KEY) == RESULT
    assert files.body("one", KEY).read_bytes() == b"one"
    assert files.result("two", KEY) is None, "another tenant's is another"


def test_a_process_that_dies_while_it_makes_a_result_leaves_none(tmp_path: Path) -> None:
    files = Files(tmp_path)
    make(files, b"half")
    later = Files(tmp_path)
    assert later.result("one", KEY) is None
    later.tidy()
    assert list((tmp_path / "making").iterdir()) == []


def test_tenants_may_have_names_that_no_file_has(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.keep(make(files, b"one"), "../../etc", KEY, RESULT)
    assert files.result("../../etc", KEY) == RESULT
    assert {path.name for path in tmp_path.iterdir()} == {"journals", "making", "results", "uploads"}
    files.drop_result("../../etc", KEY)
    assert files.result("../../etc", KEY) is None


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    Files(tmp_path / "jobs")
    assert (tmp_path / "jobs").stat().st_mode & 0o077 == 0


def test_an_upload_ends_where_its_file_does(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with pytest.raises(UploadNotFound):
        files.received("x")
    with pytest.raises(UploadNotFound):
        Receiving(files.upload("x"), 0, 5)
    files.begin_upload("x")
    receiving = Receiving(files.upload("x"), 0, 5)
    receiving.add(b"abc")
    # As if the process had died here: nothing was ended.
    assert files.received("x") == 3
    receiving.end(whole=False)
    with pytest.raises(UploadMoved):
        Receiving(files.upload("x"), 2, 5)
    again = Receiving(files.upload("x"), 3, 5)
    with pytest.raises(UploadMoved):
        again.add(b"too many")
    again.end(whole=False)
    assert files.received("x") == 3


def test_a_lock_is_one_process_at_a_time(tmp_path: Path) -> None:
    held = lock(tmp_path / "lock")
    assert held
    assert lock(tmp_path / "lock") is None
    held.close()
    again = lock(tmp_path / "lock")
    assert again
    again.close()
