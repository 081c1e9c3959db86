from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import ImageUnreadable, ImageUnsuitable
from gateway.media.quiet import reading
from tests.support.dicoms import SURNAME
from tests.support.places import ROOT


def test_nothing_of_a_patient_is_written_whatever_happens(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.patient"], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said[-2000:]
    done, refused = (int(count.split()[0]) for count in run.stdout.decode().splitlines()[-1].split(","))
    assert done > 50
    assert refused > 50
    assert [line for line in said.splitlines() if SURNAME.encode().lower() in line.lower()] == []
    assert list(tmp_path.iterdir()) == []


def test_trouble_with_a_library_is_answered_without_what_it_said() -> None:
    with pytest.raises(ImageUnsuitable) as caught, reading("Of ours.", ImageUnsuitable):
        raise ValueError(SURNAME)
    assert str(caught.value) == "Of ours."
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [ImageUnreadable("Said before."), MemoryError()])
def test_errors_of_ours_and_lack_of_memory_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, reading("Another."):
        raise error
    assert caught.value is error
