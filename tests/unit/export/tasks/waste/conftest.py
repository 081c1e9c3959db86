"""Labelled photographs drawn by code: coloured bags on a grey floor, between white bars."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of four photographs to learn from and two to validate with, as `read_photos` takes it."""
    folder = tmp_path / "photos"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = ["id,split,content_x0,content_y0,content_x1,content_y1"]
    rng = np.random.default_rng(0)
    for index in range(6):
        image, mask = np.full((120, 120, 3), 255, np.uint8), np.zeros((120, 120), np.uint8)
        image[20:100] = 90
        for value, colour, x in ((1, (60, 170, 60), 30), (2, (150, 60, 190), 80)):
            cv2.circle(mask, (x, 50 + 4 * index), 16, value, cv2.FILLED)
            image[mask == value] = colour
        noisy = image[20:100] + rng.normal(0, 5, (80, 120, 3))
        image[20:100] = np.clip(noisy, 0, 255).astype(np.uint8)
        name = f"photo-{index}"
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
        rows.append(f"{name},{'train' if index < 4 else 'val'},0,20,120,100")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder
