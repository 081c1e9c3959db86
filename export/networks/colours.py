"""What becomes of pixels before a network takes them; served graphs and training do it alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Colours:
    """(pixel / 255 - mean) / std of RGB pixels 0 … 255, per channel in the network's `order`."""

    mean: Triple
    std: Triple
    order: Literal["rgb", "bgr"] = "rgb"


IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What torchvision's networks were trained with, and ours by their example."""

DAHITRA = Colours((127 / 255,) * 3, (127 / 255,) * 3, "bgr")
"""DAHiTra's for xBD: pixel / 127 - 1, as OpenCV reads them."""

DAHITRA_LEVIR = Colours((0.5,) * 3, (0.5,) * 3)
"""DAHiTra's for LEVIR-CD."""
