"""Labelled slices drawn by code: two dark lungs, one of them with a bright patch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """Return a folder of four slices to learn from and two to validate with, as `read_slices` takes it."""
    folder = tmp_path / "slices"
    for name in ("images", "masks_multiclass"):
        (folder / name).mkdir(parents=True)
    rows = ["id,split,similarity_group"]
    rng = np.random.default_rng(0)
    for index in range(6):
        image = np.full((100, 120), 210, np.uint8)
        mask = np.zeros((100, 120), np.uint8)
        for x in (35, 85):
            cv2.ellipse(image, (x, 50), (20, 38), 0, 0, 360, 60, cv2.FILLED)
        value, grey = ((1, 110), (2, 180))[index % 2]
        cv2.circle(mask, (35, 35 + 5 * index), 12, value, cv2.FILLED)
        image[mask > 0] = grey
        image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        name = f"slice-{index}"
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
        cv2.imwrite(str(folder / "masks_multiclass" / f"{name}.png"), mask)
        rows.append(f"{name},{'train' if index < 4 else 'val'},{index}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder
