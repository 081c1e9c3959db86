"""Chest films drawn by code, for whoever calls the route."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.dicoms import film, saved

UInt8 = NDArray[np.uint8]
ROWS, COLUMNS = 96, 120


def chest(level: int = 60, spot: int = 240) -> UInt8:
    """Return a grey picture of one level, its lower right quarter of another, uint8 (96, 120)."""
    pixels = np.full((ROWS, COLUMNS), level, np.uint8)
    pixels[ROWS // 2 :, COLUMNS // 2 :] = spot
    return pixels


def dicom(pixels: UInt8 | None = None, **attributes: Any) -> bytes:
    """Return a DICOM film that a reader sees as `pixels`."""
    stored = (chest() if pixels is None else pixels).astype(np.int64) * 16
    # PS3.3 C.11.2.1.2.1: such that 0 is black, and 16 · 255 white.
    window = {"WindowCenter": 2040.5, "WindowWidth": 4081}
    return saved(film(stored, **{**window, **attributes}))
