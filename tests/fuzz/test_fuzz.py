"""A short form of `make fuzz`, in a process of its own: a decoder that crashes takes nothing else with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from tests.fuzz.seeds import inputs, seeds
from tests.support.places import ROOT

INPUTS = 300


def test_hostile_inputs_are_answered_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.soak", "--inputs", str(INPUTS), "--record", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith(f"{INPUTS} inputs, 0 failures")


def test_the_same_number_makes_the_same_inputs_and_another_others() -> None:
    first, again, other = ([make() for _, _, make in inputs(60, seed)] for seed in (1, 1, 2))
    assert first == again
    assert sum(a != b for a, b in zip(first, other, strict=True)) > 50


def test_most_inputs_are_not_what_they_were_made_of() -> None:
    for seed in seeds():
        sound = seed.parts[seed.hostile]
        assert sum(seed.mutate(Random(number), sound) != sound for number in range(20)) > 15
