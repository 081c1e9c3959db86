"""Hostile inputs of every format, one after the other, and what they did: `make fuzz`.

Exits with 1 where one was answered with a 5xx, took more than `HANG_SECONDS`, or grew the process by more than
`GROWTH_MIB` while it was read; each of these is kept under `build/fuzz`. So it does where the second half of them left
the process larger by that much.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from gateway.app import create_app
from gateway.settings import Settings
from tests.fuzz.seeds import Seed, inputs
from tests.support.app_client import AppClient, running
from tests.support.trivial import write_trivial_model
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_interactive import write_trivial_interactive
from tests.support.trivial_land import write_trivial_land
from tests.support.trivial_radiograph import write_trivial_radiograph
from tests.support.trivial_restore import write_trivial_restore
from tests.support.trivial_waste import write_trivial_waste

HANG_SECONDS = 5.0
GROWTH_MIB = 64.0
# Decoded sizes stay small beside what may be grown by: a lie of a header is told from a picture that is large.
_LIMITS = {"image_pixels": 1 << 20, "scene_pixels": 1 << 20, "slice_side": 1024, "volume_voxels": 1 << 22}


def main(arguments: list[str] | None = None) -> int:
    """Run as the module's text says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1, help="other inputs with another")
    parser.add_argument("--only", type=int, help="the number of one input, to see what it does")
    parser.add_argument("--record", type=Path, default=Path("build/fuzz"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        write_repository(Path(folder))
        settings = Settings.model_validate(
            {"models": {"repository": folder, "damage": "trivial"}, "limits": _LIMITS, "log": {"level": "ERROR"}}
        )
        with running(create_app(settings)) as client:
            return _soaked(client, options)


def write_repository(root: Path) -> None:
    """Write a small model of each task."""
    write_trivial_model(root, "trivial")
    write_trivial_interactive(root)
    write_trivial_land(root)
    write_trivial_restore(root)
    write_trivial_ct(root)
    write_trivial_waste(root)
    write_trivial_radiograph(root, "cxr-even")


def _soaked(client: AppClient, options: argparse.Namespace) -> int:
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    slowest, largest, failures, halfway = 0.0, 0.0, 0, 0
    for which, seed, make in inputs(options.inputs, options.seed):
        if options.only not in (None, which):
            continue
        if seed.name not in statuses:
            # What is loaded for the first of a kind is not what an input costs; and sound it has to be.
            sound = _asked(client, seed, seed.parts[seed.hostile])
            if sound.status != 200:
                raise RuntimeError(f"{seed.name} is refused as it is: {sound.status}")
        if which == options.inputs // 2:
            halfway = _status("VmRSS")
        content = make()
        found = _asked(client, seed, content)
        statuses[seed.name][found.status] += 1
        slowest, largest = max(slowest, found.seconds), max(largest, found.growth)
        if found.status >= 500 or found.seconds > HANG_SECONDS or found.growth > GROWTH_MIB:
            failures += 1
            _keep(options.record, which, seed, content, found)
    for name, counted in sorted(statuses.items()):
        print(f"{name:<32}", *(f"{status}: {count}" for status, count in sorted(counted.items())))
    total = sum(map(Counter.total, statuses.values()))
    # By the half of them all that is loaded once has been, and every thread keeps what it keeps.
    left = (_status("VmRSS") - halfway) / 1024 if halfway else 0.0
    print(
        f"{total} inputs, {failures} failures, slowest {slowest:.2f} s, largest growth {largest:.0f} MiB, "
        f"{left:.0f} MiB more after the second half"
    )
    return 1 if failures or left > GROWTH_MIB else 0


@dataclass(frozen=True)
class _Found:
    """What an input did: its status, seconds of the clock or the processor, whichever are fewer, and MiB of growth."""

    status: int
    seconds: float
    growth: float


def _asked(client: AppClient, seed: Seed, content: bytes) -> _Found:
    # The high-water mark begins anew.
    Path("/proc/self/clear_refs").write_text("5")
    before, start, used = _status("VmRSS"), time.perf_counter(), time.process_time()
    answer = client.post(seed.path, **seed.request(content))
    # On a busy machine the clock goes on while nothing of ours runs; what waits for nothing at all shows at 60 seconds.
    clock, processor = time.perf_counter() - start, time.process_time() - used
    seconds = clock if clock > 60 else min(clock, processor)
    return _Found(answer.status_code, seconds, (_status("VmHWM") - before) / 1024)


def _keep(folder: Path, which: int, seed: Seed, content: bytes, found: _Found) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{which}.bin").write_bytes(content)
    said = f"input {which}, {seed.name}: {found.status}, {found.seconds:.1f} s, {found.growth:.0f} MiB"
    print(said, file=sys.stderr, flush=True)


def _status(field: str) -> int:
    """Return a field of this process's status, in KiB."""
    found = re.search(rf"^{field}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
