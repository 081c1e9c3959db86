from __future__ import annotations

import subprocess
import sys

import pytest

HELD = """
import sys
import numpy as np
from gateway.ops.memory import give_back_large_blocks

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024

if sys.argv[1] == "told":
    give_back_large_blocks()
blocks = []
for _ in range(12):
    # The block of 24 MiB is free again, below one that is not.
    large, small = np.ones(24 << 20, np.uint8), np.ones(100_000, np.uint8)
    blocks.append(small)
    before = resident()
    del large
    freed = before - resident()
print(freed)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is told")
def test_large_blocks_are_given_back() -> None:
    def freed(told: str) -> int:
        run = [sys.executable, "-c", HELD, told]
        return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)

    assert freed("told") >= 23
    assert freed("not told") < 23
