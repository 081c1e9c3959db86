"""Where the tests find the repository, and the real samples beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "data"
"""Real samples may not enter the project: they lie beside it or nowhere, and tests that use them then skip, visibly."""
