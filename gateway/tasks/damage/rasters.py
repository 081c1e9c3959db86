"""What is known of the ground beside the images: rasters that some models take, and that a request need not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.repository.card import RasterSpec

Rasters = Mapping[str, NDArray[Any]]
"""By name, (H, W) on the grid of the image before the disaster: heights as float32, classes as uint8."""


def rasters_of(model: Model) -> tuple[RasterSpec, ...]:
    """Return what a model takes beside images; of two fused models, what the finder takes."""
    return (model.parts[0] if model.parts else model).card.rasters


def filled(model: Model, given: Rasters, size: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Return all rasters of a model, of `size` (H, W): those given, and others that say nothing."""
    return {
        raster.input: given.get(raster.input, np.full(size, raster.missing, raster.dtype))
        for raster in rasters_of(model)
    }
