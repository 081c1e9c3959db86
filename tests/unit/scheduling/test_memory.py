from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.scheduling import memory

# Pages touched for the first time over 20 buffers of 3 MiB, in a thread as the workers are.
TOUCHED = """
import resource, sys, threading
import numpy as np
from gateway.scheduling.memory import keep_freed

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


# Blocks of 24 MiB, each freed below a small one that is not.
LARGE = """
import sys
import numpy as np
from gateway.scheduling.memory import keep_freed

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024

if sys.argv[1] == "told" and not keep_freed(64 << 20):
    sys.exit("other C library")
kept = []
for _ in range(12):
    large, small = np.ones(24 << 20, np.uint8), np.ones(100_000, np.uint8)
    kept.append(small)
    before = resident()
    del large
    freed = before - resident()
print(freed)
"""


def ran(code: str, argument: str) -> int:
    """Return what `code` prints in a process of its own."""
    process = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, check=False)
    if "other C library" in process.stderr:
        pytest.skip("the C library is not glibc")
    return int(process.stdout)


def test_large_blocks_are_given_back() -> None:
    assert ran(LARGE, "told") >= 23 > ran(LARGE, "not told")


def test_freed_memory_is_used_again() -> None:
    assert ran(TOUCHED, str(64 << 20)) < 1000 < ran(TOUCHED, "1")


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert not memory.keep_freed(1 << 20)


def test_nothing_is_asked_for_nothing() -> None:
    assert not memory.keep_freed(0)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not memory.keep_freed(1 << 20)
