"""NVIDIA's perf_analyzer, put together from wheels: `make perf`.

The package of that name is empty. The program itself was last shipped in tritonclient 2.51,
and the two libraries that it misses on most machines are in nvidia-pytriton.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.places import ROOT

FOLDER = ROOT / ".venv" / "perf"
_WANTED = {
    r"tritonclient-.*/bin/perf_analyzer": "perf_analyzer",
    r"nvidia_pytriton\.libs/libb64-.*": "libb64.so.0d",
    r"nvidia_pytriton\.libs/libcudart-.*": "libcudart.so.12",
}


def extract(wheels: Path, folder: Path) -> None:
    """Write the program and its libraries from the wheels into `folder`."""
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                for pattern, name in _WANTED.items():
                    if re.fullmatch(pattern, member):
                        (folder / name).write_bytes(archive.read(member))
    (folder / "perf_analyzer").chmod(0o755)


def run(address: str, model: str, shapes: Mapping[str, tuple[int, ...]], *options: str) -> str:
    """Return what perf_analyzer says of a model over HTTP.

    Args:
        address: host and port.
        model: its name.
        shapes: per input, without the batch.
        options: more of its command line.
    """
    sizes = [f"--shape={name}:{','.join(map(str, shape))}" for name, shape in shapes.items()]
    command = [str(FOLDER / "perf_analyzer"), "-i", "http", "--service-kind", "triton", "-u", address, "-m", model]
    environment = os.environ | {"LD_LIBRARY_PATH": str(FOLDER)}
    done = subprocess.run(
        [*command, *sizes, *options], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RuntimeError(f"perf_analyzer ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    extract(Path(sys.argv[1]), Path(sys.argv[2]))
