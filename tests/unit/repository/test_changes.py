"""Changes on disk are seen without reading what has not changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.repository.changes import AT_REST_NANOSECONDS, Digests, listing
from gateway.repository.store import bytes_digest, file_digest
from tests.support.trivial import write_trivial_model, write_version


def test_a_digest_is_that_of_the_bytes_as_they_are(tmp_path: Path) -> None:
    path, digests = tmp_path / "file", Digests()
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        assert digests.of(path) == digests.of(path) == bytes_digest(content)
    with pytest.raises(FileNotFoundError):
        digests.of(tmp_path / "absent")


def test_a_file_at_rest_is_read_once_and_one_just_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digests, reads = tmp_path / "file", Digests(), 0

    def counted(path: Path) -> str:
        nonlocal reads
        reads += 1
        return file_digest(path)

    monkeypatch.setattr("gateway.repository.changes.file_digest", counted)
    path.write_bytes(b"one")
    stat = path.stat()
    for now, expected in ((0, 1), (AT_REST_NANOSECONDS - 1, 2), (AT_REST_NANOSECONDS, 3), (AT_REST_NANOSECONDS, 3)):
        monkeypatch.setattr("time.time_ns", lambda now=now: max(stat.st_mtime_ns, stat.st_ctime_ns) + now)
        digests.of(path)
        assert reads == expected


def test_a_copy_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    path, other, digests = tmp_path / "file", tmp_path / "other", Digests()
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    for file in (path, other):
        os.utime(file, ns=(10**18, 10**18))
    assert digests.of(path) == bytes_digest(b"one")
    shutil.copy2(other, path)
    assert digests.of(path) == bytes_digest(b"two")
    other.write_bytes(b"six")
    os.utime(other, ns=(10**18, 10**18))
    other.rename(path)
    assert digests.of(path) == bytes_digest(b"six")


CHANGES: dict[str, Callable[[Path], object]] = {
    "new model": lambda root: write_trivial_model(root, "n"),
    "new version": lambda root: write_version(root / "m", 2, 1),
    "replaced version": lambda root: write_version(root / "m", 1, 1),
    "rewritten card": lambda root: write_version(root / "m", 1, 0),
    "removed labels": lambda root: (root / "m" / "labels.txt").unlink(),
    "removed model": lambda root: shutil.rmtree(root / "m"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_in_the_listing(tmp_path: Path, change: str) -> None:
    for file in write_trivial_model(tmp_path, "m").rglob("*"):
        os.utime(file, (0, 0))
    before = listing(tmp_path)
    assert before == listing(tmp_path)
    CHANGES[change](tmp_path)
    assert before != listing(tmp_path)


def test_what_no_scan_looks_at_is_not_listed(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")
    before = listing(tmp_path)
    (tmp_path / ".staging").mkdir()
    (folder / "1" / ".model.onnx.part").write_bytes(b"half")
    (tmp_path / "m" / "notes").symlink_to(tmp_path / "nowhere")
    assert {Path(path).name for path in listing(tmp_path)} == {Path(path).name for path in before}


def test_a_repository_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listing(tmp_path / "absent")
