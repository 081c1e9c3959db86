"""Debian's DICOM validators, where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def complaints(data: bytes, folder: Path) -> list[str]:
    """Return the errors that dciodvfy and dcmdump find in a DICOM file; skips where either is missing."""
    for tool, package in (("dciodvfy", "dicom3tools"), ("dcmdump", "dcmtk")):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}: apt-get install {package}")
    file = folder / "judged.dcm"
    file.write_bytes(data)
    verdict = subprocess.run(["dciodvfy", file], capture_output=True, text=True, errors="replace", check=False)
    dump = subprocess.run(["dcmdump", "-q", file], capture_output=True, check=False)
    found = [line for line in verdict.stderr.splitlines() if line.startswith("Error")]
    return found + ([] if dump.returncode == 0 else ["dcmdump cannot read it"])
