"""Land cover: a satellite image in, a label map of its size out, seen by the model at a metre a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.errors import GeometryUnsuitable
from gateway.inference.label_maps import LabelMap, decided_at
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.cog import NOT_OBSERVED
from gateway.vision.labels import decide
from gateway.vision.resizing import Size

UInt8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Resolution = tuple[float, float]
"""Metres from one pixel to the next, along a row and along a column."""

METRES = 1.0
"""What a pixel of every model of the task is of: a road is some pixels wide, a crown some across."""

_HALF = 128

FINEST, COARSEST = 0.05, 2.0
"""The resolutions that are served, in metres a pixel: beyond them roads and crowns cannot be told, or fill the tile."""


@dataclass(frozen=True)
class Land(LabelMap):
    """What the model saw on one image; where nothing was observed labels are `NOT_OBSERVED`, and count nowhere.

    Attributes:
        seen: uint8 (h, w), the label map at a metre a pixel.
    """

    seen: UInt8


def seen_at(size: Size, resolution: Resolution) -> Size:
    """Return the size, (height, width), at which models see an image of `size`.

    Raises:
        GeometryUnsuitable: the resolution is beyond `FINEST` and `COARSEST`.
    """
    if not all(FINEST <= each <= COARSEST for each in resolution):
        across, down = resolution
        raise GeometryUnsuitable(
            f"A pixel is {across:.3g} × {down:.3g} m on the ground; from {FINEST} to {COARSEST:g} m are served."
        )
    across, down = resolution
    return max(1, round(size[0] * down / METRES)), max(1, round(size[1] * across / METRES))


async def map_land(segmenter: Segmenter, image: UInt8, resolution: Resolution, observed: Mask | None = None) -> Land:
    """Return the land cover of an image, uint8 (H, W, 3), RGB, decided at its own size.

    Args:
        segmenter: a model of the task and its request.
        image: of any size.
        resolution: of its pixels on the ground.
        observed: bool (H, W), where it shows something, at one pixel at least; None: everywhere.

    Raises:
        GeometryUnsuitable: as `seen_at`.
    """
    size = (image.shape[0], image.shape[1])
    scaled = await segmenter.aside(_resized, image, seen_at(size, resolution))
    blended = await segmenter.probabilities({"image": scaled})
    threshold = segmenter.model.card.threshold

    def decided() -> tuple[UInt8, UInt8, UInt8]:
        labels, sureness = decided_at(blended, size, threshold)
        seen = decide(blended, threshold)
        if observed is not None:
            labels[~observed] = NOT_OBSERVED
            sureness[~observed] = 0
            seen[_resized(observed.view(np.uint8) * np.uint8(255), seen.shape) < _HALF] = NOT_OBSERVED
        return labels, sureness, seen

    labels, sureness, seen = await segmenter.aside(decided)
    return Land(segmenter.model, await segmenter.count(labels), labels, sureness, seen)


def _resized(image: UInt8, size: Size) -> UInt8:
    height, width = size
    if size == image.shape[:2]:
        return image
    finer = height * width > image.shape[0] * image.shape[1]
    method = cv2.INTER_LINEAR if finer else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
