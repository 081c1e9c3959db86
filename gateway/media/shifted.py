"""A decoded picture, moved by parts of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.rasters import PictureRaster, RasterInfo

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ShiftedPicture:
    """A picture in memory that shows nothing along some of its borders; see `Raster`.

    Attributes:
        info: as of the picture that was moved.
        pixels: uint8 (H, W, 3), RGB, black where nothing is shown.
        observed: bool (H, W).
    """

    info: RasterInfo
    pixels: UInt8
    observed: Bool

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window, views of the picture."""
        return self.pixels[rows, columns], self.observed[rows, columns]

    def close(self) -> None:
        """Do nothing; the picture goes with its last reference."""


def shifted(picture: PictureRaster, shift: tuple[float, float]) -> ShiftedPicture:
    """Return the picture on the grid of another, bilinearly.

    Args:
        picture: in memory, observed everywhere.
        shift: (dx, dy) in pixels: what the other has at (x, y), the picture has at (x + dx, y + dy).
    """
    dx, dy = shift
    pixels = picture.picture.pixels
    height, width = pixels.shape[:2]
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    across, down = np.arange(width) + dx, np.arange(height) + dy
    observed = np.logical_and.outer((down >= 0) & (down <= height - 1), (across >= 0) & (across <= width - 1))
    moved[~observed] = 0
    return ShiftedPicture(picture.info, np.asarray(moved, np.uint8), np.asarray(observed))
