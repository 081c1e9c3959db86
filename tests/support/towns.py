"""A drawn town as pairs of GeoTIFFs: one ground, seen on whatever grids."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from affine import Affine
from maskgate_client.scenes import Scene, draw_scene
from numpy.typing import NDArray

from gateway.media.geo.georeference import GeoGrid
from tests.support.geotiffs import grid, write

UInt8 = NDArray[np.uint8]

SIZE = 640


@cache
def town(seed: int = 2) -> Scene:
    """Return a drawn scene of `SIZE` pixels."""
    return draw_scene(seed, SIZE)


def place(**changes: float) -> GeoGrid:
    """Return where the drawn scene lies: half a metre in Joplin."""
    return grid(SIZE, SIZE)


def seen_on(image: UInt8, other: GeoGrid, shift: tuple[float, float] = (0.0, 0.0)) -> UInt8:
    """Return the drawn ground `image`, which lies at `place()`, as another grid shows it, black beyond it.

    With a shift (x, y) in pixels of `place()` all is farther to the right and down than that grid says.
    """
    y, x = np.mgrid[: other.height, : other.width] + 0.5
    points = place().from_lon_lat(other.to_lon_lat(np.stack([x.ravel(), y.ravel()], 1)))
    at = (points - 0.5 - shift).astype(np.float32).reshape(other.height, other.width, 2)
    return np.asarray(cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC), np.uint8)


def in_degrees(width: int = 700, height: int = 600) -> GeoGrid:
    """Return a grid in degrees over about the same ground, of somewhat smaller pixels."""
    west, north = place().to_lon_lat([(0, 0)])[0].tolist()
    return grid(width, height, "EPSG:4326", Affine(5e-6, 0, west, 0, -4.2e-6, north))


def pre_tif() -> bytes:
    """Return the town before the storm."""
    return write(town().pre, place())
