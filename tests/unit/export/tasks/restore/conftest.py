"""Images drawn by code, in the folders of both sources."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def grounds(tmp_path: Path) -> Path:
    """Return a folder as `read_grounds` takes it: five pairs of thin and of thick clouds, two pairs of photographs."""
    root = tmp_path / "grounds"
    tables = {"cloud_rice": ["id,cloudy,clear,cloud_type"], "building_damage": ["tile,split,image_format"]}
    for folder in ("cloud_rice/clear", "cloud_rice/cloudy", "building_damage/images"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for kind in ("thin", "thick"):
        for index in range(5):
            name = f"{kind}{index}"
            clear = cv2.resize(rng.integers(0, 120, (12, 12, 3), np.uint8), (96, 96))
            cloudy = clear.copy()
            if kind == "thin":
                cloudy = cv2.addWeighted(clear, 0.6, np.full_like(clear, 255), 0.4, 0)
            else:
                cloudy[20:60, 30:80] = 240
            cv2.imwrite(str(root / "cloud_rice" / "clear" / f"{name}.png"), clear)
            cv2.imwrite(str(root / "cloud_rice" / "cloudy" / f"{name}.png"), cloudy)
            tables["cloud_rice"].append(f"{name},cloudy/{name}.png,clear/{name}.png,{kind}")
    for index, split in enumerate(("train", "val")):
        for date in ("pre", "post"):
            photograph = cv2.resize(rng.integers(0, 200, (16, 16, 3), np.uint8), (600, 600))
            cv2.imwrite(str(root / "building_damage" / "images" / f"b{index}_{date}_disaster.png"), photograph)
        tables["building_damage"].append(f"b{index},{split},png")
    for name, rows in tables.items():
        (root / name / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root
