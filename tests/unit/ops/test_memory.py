from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.ops import memory

# Pages touched for the first time over 20 buffers of 3 MiB, in a thread as the workers are.
TOUCHED = """
import resource, sys, threading
import numpy as np
from gateway.ops.memory import keep_freed

def work():
    for _ in range(20):
        np.ones(3 << 20, np.uint8)
    seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

if sys.argv[1] != "0" and not keep_freed(int(sys.argv[1])):
    sys.exit("other C library")
seen = []
for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(seen[1] - seen[0])
"""


def touched(amount: int, **variables: str) -> int:
    ran = subprocess.run(
        [sys.executable, "-c", TOUCHED, str(amount)], capture_output=True, text=True, check=False, env=variables or None
    )
    if "other C library" in ran.stderr:
        pytest.skip("the C library is not glibc")
    return int(ran.stdout)


def test_freed_memory_is_used_again() -> None:
    assert touched(64 << 20) < 1000 < touched(1)


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert not memory.keep_freed(1 << 20)


def test_nothing_is_asked_for_nothing() -> None:
    assert not memory.keep_freed(0)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not memory.keep_freed(1 << 20)
