"""Pebbles: a photograph in, its label map out, with nothing of water's colour in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gateway.inference.label_maps import LabelMap, map_image
from gateway.inference.segmenter import Segmenter

Pixels = NDArray[np.uint8]


async def map_pebbles(segmenter: Segmenter, photo: Pixels) -> LabelMap:
    """Return the label map of a photograph, uint8 (H, W, 3), RGB; what is bluer than red is background."""
    found = await map_image(segmenter, photo)
    labels = await segmenter.aside(dry, photo, found.label_map)
    return replace(found, label_map=labels, counts=await segmenter.count(labels))


def dry(photo: Pixels, labels: Pixels) -> Pixels:
    """Return labels, uint8 (H, W), without those of water."""
    return np.where(photo[..., 2] > photo[..., 0], np.uint8(0), labels)
