"""Labelled objects drawn by code: a bright shape before a dark ground."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Return a folder of three objects to learn from and two to validate with, with a manifest."""
    folder = tmp_path / "objects"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = ["id,dataset,split,image,mask"]
    rng = np.random.default_rng(0)
    for index in range(5):
        mask = np.zeros((90, 120), np.uint8)
        cv2.ellipse(mask, (60, 45), (30, 15 + 5 * index), 20 * index, 0, 360, 255, cv2.FILLED)
        image = np.where(mask[..., None] > 0, (40, 200, 90), (120, 60, 50)).astype(np.uint8)
        image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), mask)
        split = "train" if index < 3 else "val"
        rows.append(f"object-{index},Drawn,{split},images/{index}.png,masks/{index}.png")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder
