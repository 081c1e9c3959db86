"""Copy and paste of damaged buildings: a rare sight shown in many places, before and after (Ghiasi et al., 2021)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Views = tuple[Image, Image, Image]
"""Crops of one place: pre and post (H, W, 3) RGB, labels (H, W)."""

_MARGIN = 9
"""Side of the dilation that takes in what lies around a building: debris, shadow."""


def paste_building(rng: Generator, scene: Views, donor: Views) -> Views:
    """Return the scene with the building at the middle of the donor copied to a random place, the same in all views.

    Views of the donor are smaller than those of the scene. Its edges are blended into pre and post. A donor without
    a building at its middle, or with one that reaches its border, leaves the scene as it is.
    """
    labels = donor[2]
    building = _middle_component(labels > 0)
    if not building.any() or building[[0, -1]].any() or building[:, [0, -1]].any():
        return scene
    size, room = len(labels), len(scene[2]) - len(labels)
    x, y = rng.integers(0, room + 1, 2)
    window = np.s_[y : y + size, x : x + size]
    around = cv2.dilate(building.astype(np.uint8), np.ones((_MARGIN, _MARGIN), np.uint8))
    blend = cv2.GaussianBlur(around.astype(np.float32), (0, 0), 1.0)[..., None]
    pasted = tuple(view.copy() for view in scene)
    for target, source in zip(pasted[:2], donor[:2], strict=True):
        target[window] = (blend * source + (1 - blend) * target[window] + 0.5).astype(np.uint8)
    pasted[2][window] = np.where(around > 0, labels * building, pasted[2][window])
    return pasted[0], pasted[1], pasted[2]


def _middle_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the component of a mask that lies at or nearest around the middle; empty where there is none."""
    components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    middle = len(mask) // 2
    near = components[middle - 2 : middle + 3, middle - 2 : middle + 3]
    values = near[near > 0]
    return np.asarray(components == (np.bincount(values).argmax() if values.size else -1))
