"""What models answered about an item: written down, found again, whatever the process left of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gateway.jobs import journal
from gateway.jobs.journal import Journal

ANSWER = {
    "probabilities": np.random.default_rng(0).integers(0, 255, (2, 8, 8, 5), np.uint8),
    "scores": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
}
KEYS = [bytes([number]) * 32 for number in range(4)]


def same(found: object) -> bool:
    return isinstance(found, dict) and all((found[name] == tensor).all() for name, tensor in ANSWER.items())


def test_answers_outlive_the_process_but_for_one_that_was_not_written_whole(tmp_path: Path) -> None:
    first = Journal(tmp_path / "item", 1 << 20)
    for key in KEYS[:3]:
        first.keep(key, ANSWER)
    assert same(first.recall(KEYS[0]))
    assert first.recall(KEYS[3]) is None
    first.close()
    os.truncate(tmp_path / "item", (tmp_path / "item").stat().st_size - 5)
    second = Journal(tmp_path / "item", 1 << 20)
    assert second.open
    assert [same(second.recall(key)) for key in KEYS] == [True, True, False, False]
    second.keep(KEYS[2], ANSWER)
    second.close()
    third = Journal(tmp_path / "item", 1 << 20)
    assert [same(third.recall(key)) for key in KEYS] == [True, True, True, False]
    third.close()


def test_an_answer_that_the_disk_has_changed_is_none(tmp_path: Path) -> None:
    first = Journal(tmp_path / "item", 1 << 20)
    first.keep(KEYS[0], ANSWER)
    first.close()
    content = bytearray((tmp_path / "item").read_bytes())
    content[-40] ^= 0xFF
    (tmp_path / "item").write_bytes(content)
    assert Journal(tmp_path / "item", 1 << 20).recall(KEYS[0]) is None


def test_it_grows_no_larger_than_it_may_and_begins_when_work_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Journal(tmp_path / "item", 1200)
    assert not new.open
    monkeypatch.setattr(journal, "AFTER_SECONDS", 0.0)
    assert new.open
    for key in KEYS:
        new.keep(key, ANSWER)
    assert (tmp_path / "item").stat().st_size <= 1200
    assert [same(new.recall(key)) for key in KEYS] == [True, False, False, False]
