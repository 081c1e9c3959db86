"""Pictures in memory as rasters, and moved by parts of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.rasters import RasterInfo
from gateway.media.pictures.images import DecodedImage
from gateway.media.pictures.transparency import blackened

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Picture:
    """A picture that need not show something everywhere; see `Raster`.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, black where nothing is shown.
        observed: bool (H, W).
        notices: what the caller should know was changed in decoding.
        grid: where it lies on Earth; None: nobody knows.
    """

    pixels: UInt8
    observed: Bool
    notices: tuple[str, ...] = ()
    grid: GeoGrid | None = None

    @classmethod
    def of(cls, decoded: DecodedImage) -> Self:
        """Return a decoded picture, black where it is transparent."""
        if decoded.observed is None:
            return cls(decoded.pixels, np.ones(decoded.pixels.shape[:2], np.bool_), decoded.notices)
        return cls(blackened(decoded.pixels, decoded.observed), decoded.observed, decoded.notices)

    @property
    def info(self) -> RasterInfo:
        """What is known of it."""
        height, width, bands = self.pixels.shape
        return RasterInfo(width, height, bands, "uint8", self.grid, self.notices)

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window, views of the picture."""
        return self.pixels[rows, columns], self.observed[rows, columns]

    def close(self) -> None:
        """Do nothing; the picture goes with its last reference."""


def shifted(picture: Picture, shift: tuple[float, float]) -> Picture:
    """Return a picture on the grid of another, bilinearly, with nothing shown where it has no pixels.

    Args:
        picture: of the other's size.
        shift: (dx, dy) in pixels: what the other has at (x, y), the picture has at (x + dx, y + dy).
    """
    height, width = picture.observed.shape
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = np.asarray(cv2.warpAffine(picture.pixels, matrix, (width, height), flags=flags), np.uint8)
    # Fully shown alone: what is partly beyond the border would be darkened by it.
    shown = cv2.warpAffine(picture.observed.view(np.uint8) * np.uint8(255), matrix, (width, height), flags=flags)
    observed = np.asarray(shown) == 255
    moved[~observed] = 0
    return Picture(moved, observed, picture.notices)
