"""Labelled films drawn by code: dark lungs, with bright patches where they show COVID-19."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

LABELS = ("covid19", "no_finding", "other_pneumonia")


def draw_film(label: str, seed: int) -> NDArray[np.uint8]:
    """Return a film, (100, 90): lungs, and what the label adds to them."""
    rng = np.random.default_rng(seed)
    film = np.full((100, 90), 200, np.uint8)
    for x in (27, 63):
        cv2.ellipse(film, (x, 50), (14, 36), 0, 0, 360, 50, cv2.FILLED)
        if label != "no_finding":
            cv2.circle(film, (x, 60 if label == "covid19" else 30), 12, 150, cv2.FILLED)
    return np.asarray(np.clip(film + rng.normal(0, 6, film.shape), 0, 255), np.uint8)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Return a folder as `read_films` takes it: per label eight films to learn from and four to validate with."""
    folder = tmp_path / "films"
    (folder / "images").mkdir(parents=True)
    rows = ["file,label,split,patient"]
    for label in LABELS:
        for index in range(12):
            name = f"images/{label}-{index}.png"
            cv2.imwrite(str(folder / name), draw_film(label, index))
            rows.append(f"{name},{label},{'train' if index < 8 else 'val'},{index}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder
