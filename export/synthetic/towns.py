"""Drawn scenes as labelled pairs: training data where no photograph may travel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from maskgate_client.scenes import Scene, Terrain, draw_scene, draw_terrain
from numpy.typing import NDArray

SIZE = 1024
"""Side of a drawn pair in pixels, as in xBD."""


@dataclass(frozen=True)
class DrawnPair:
    """The scene with the number ``seed``; reading draws it."""

    seed: int

    def read_pre(self) -> NDArray[np.uint8]:
        """Return the image before the disaster, (1024, 1024, 3) RGB."""
        return _scene(self.seed).pre

    def read_post(self) -> NDArray[np.uint8]:
        """Return the image after the disaster, (1024, 1024, 3) RGB."""
        return _scene(self.seed).post

    def read_labels(self) -> NDArray[np.uint8]:
        """Return the label map (1024, 1024), values 0 to 4."""
        return _scene(self.seed).labels

    def read_terrain(self) -> Terrain:
        """Return what is known of the ground, rasters of (1024, 1024)."""
        return draw_terrain(self.seed, SIZE)


@lru_cache(maxsize=1)
def _scene(seed: int) -> Scene:
    # The three readings of a pair follow each other: one scene kept saves drawing it thrice.
    return draw_scene(seed, SIZE)
