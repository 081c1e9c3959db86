"""Maskgate in napari: boxes and points on an image become a labels layer."""

from __future__ import annotations

import numpy as np
from maskgate_client import DEFAULT_URL, Client, Prompt
from numpy.typing import NDArray


def prompts_of(
    boxes: list[NDArray[np.float64]], positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> list[Prompt]:
    """Return a prompt per box with the points in it; without boxes, one of all points.

    Args:
        boxes: corners of rectangles, (4, 2), rows before columns as napari has them.
        positive: points on objects, (N, 2), rows before columns.
        negative: points beside them.
    """
    if not boxes:
        return [Prompt(positive=_xy(positive), negative=_xy(negative))]
    prompts = []
    for corners in boxes:
        low, high = corners.min(axis=0), corners.max(axis=0)
        # napari's pixels are centred on whole numbers, and a box of ours ends at the edge of its last one.
        box = (low[1], low[0], high[1] + 1, high[0] + 1)
        on, beside = (_xy(_within(points, low, high)) for points in (positive, negative))
        prompts.append(Prompt(box=box, positive=on, negative=beside))
    return prompts


def _within(points: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[((points >= low) & (points <= high)).all(axis=1)]


def segment(
    image: NDArray[np.uint8],
    boxes: list[NDArray[np.float64]],
    positive: NDArray[np.float64],
    negative: NDArray[np.float64],
    url: str = DEFAULT_URL,
) -> NDArray[np.uint8]:
    """Return the labels of an image: 0 background, n the n-th box; arguments as of `prompts_of`."""
    with Client(url) as client:
        return client.segment(image, *prompts_of(boxes, positive, negative)).instance_map()


def _xy(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for y, x in points]
