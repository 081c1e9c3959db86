"""Keeping the figures of a benchmark: a file per run, with the machine and the versions that they are of."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

# What the time of a request is spent in.
_DISTRIBUTIONS = (
    "fastapi",
    "isal",
    "maskgate",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "rasterio",
    "uvicorn",
)


def record_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option `--record`."""
    parser.add_argument("--record", type=Path, help="folder to keep the figures in, as <name>-<date>.json")


def record(folder: Path | None, name: str, figures: Mapping[str, object]) -> None:
    """Write `figures` into `folder` as ``<name>-<date>.json``, over those of the same day; nowhere without a folder."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"machine": machine(), "versions": versions(), **figures}
    path = folder / f"{name}-{datetime.datetime.now(datetime.UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(f"\nKept in {path}")


def machine() -> dict[str, Any]:
    """Return what a figure depends on of this machine, and nothing that names it."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the gateway and of the libraries that do its work."""
    return {name: version(name) for name in _DISTRIBUTIONS}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
