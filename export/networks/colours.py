"""What becomes of pixels before a network takes them; served graphs and training do it alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def normalise(images: NDArray[np.uint8], device: str, colours: Colours = IMAGENET) -> Tensor:
    """Return uint8 images (N, H, W, 3) RGB as normalised float32 (N, 3, H, W) in channels-last memory."""
    if colours.order == "bgr":
        images = np.ascontiguousarray(images[..., ::-1])
    # The view from NHWC to NCHW is channels-last already: nothing is copied to reorder it.
    batch = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
    mean, std = (
        torch.tensor(constant, device=device).view(1, 3, 1, 1) * 255 for constant in (colours.mean, colours.std)
    )
    return (batch - mean) / std
