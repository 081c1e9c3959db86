"""Labelled images drawn by code, in the folders of the three sources."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

GROUND, GREY, GREEN, ORANGE = (120, 130, 140), (90, 90, 90), (40, 110, 50), (60, 120, 200)
"""Colours, BGR, of the ground, a road, a crown and a roof."""


@pytest.fixture
def grounds(tmp_path: Path) -> Path:
    """Return a folder as `read_grounds` takes it: five photographs of roads, five of trees, two of buildings."""
    root = tmp_path / "grounds"
    tables = {
        "roads_massachusetts": ["id,split,image,mask"],
        "trees_neon": ["id,site,image"],
        "building_damage": ["tile,split,image_format"],
    }
    boxes = ["id,x0,y0,x1,y1"]
    for name in tables:
        (root / name / "images").mkdir(parents=True)
        (root / name / "masks").mkdir()
    for index in range(5):
        image, mask = np.full((96, 96, 3), GROUND, np.uint8), np.zeros((96, 96), np.uint8)
        cv2.line(image, (0, 20 + 10 * index), (95, 40), GREY, 7)
        cv2.line(mask, (0, 20 + 10 * index), (95, 40), 255, 7)
        image[76:, 76:] = 255
        _write(root / "roads_massachusetts", f"r{index}.png", image, mask)
        tables["roads_massachusetts"].append(f"r{index},train,images/r{index}.png,masks/r{index}.png")
        plot = np.full((400, 400, 3), GROUND, np.uint8)
        cv2.circle(plot, (200, 200), 60, GREEN, cv2.FILLED)
        _write(root / "trees_neon", f"t{index}.png", plot)
        tables["trees_neon"].append(f"t{index},{'HARV' if index == 0 else 'TEAK'},images/t{index}.png")
        boxes.append(f"t{index},140,140,260,260")
    for index, split in enumerate(("train", "val")):
        image, mask = np.full((128, 128, 3), GROUND, np.uint8), np.zeros((128, 128), np.uint8)
        image[40:80, 30:90], mask[40:80, 30:90] = ORANGE, 1
        _write(root / "building_damage", f"b{index}_pre_disaster.png", image, mask)
        tables["building_damage"].append(f"b{index},{split},png")
    for name, rows in tables.items():
        (root / name / "manifest.csv").write_text("\n".join(rows) + "\n")
    (root / "trees_neon" / "boxes.csv").write_text("\n".join(boxes) + "\n")
    return root


def _write(folder: Path, name: str, image: np.ndarray, mask: np.ndarray | None = None) -> None:
    cv2.imwrite(str(folder / "images" / name), image)
    if mask is not None:
        cv2.imwrite(str(folder / "masks" / name), mask)
