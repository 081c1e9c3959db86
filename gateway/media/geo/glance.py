"""A glance at a raster: samples of a few places all over it, so that a scene's measures cost no pass over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gateway.media.geo.sparse import SparseDataset

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

# A file is looked at in so many places each way.
_PLACES, _PLACE_SIDE = 12, 96


def places(dataset: DatasetReader) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of places spread evenly over an image, its corners among them."""
    found = [
        (slice(y, min(y + _PLACE_SIDE, dataset.height)), slice(x, min(x + _PLACE_SIDE, dataset.width)))
        for y in _starts(dataset.height)
        for x in _starts(dataset.width)
    ]
    if isinstance(dataset, SparseDataset):
        dataset.expect(*found)
    yield from found


def _starts(length: int) -> list[int]:
    """Return where places begin, spread evenly; side by side where they would overlap and count the middle twice."""
    if length <= _PLACES * _PLACE_SIDE:
        return list(range(0, length, _PLACE_SIDE))
    starts: list[int] = np.linspace(0, length - _PLACE_SIDE, _PLACES).astype(int).tolist()
    return starts
