"""Images of any size, read window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.media.geo.georeference import GeoGrid

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RasterInfo:
    """What is known of a raster before a window of it is read.

    Attributes:
        width: pixels across.
        height: pixels down.
        bands: how many the file has, used or not.
        dtype: of the file's samples, as numpy names it.
        grid: where it lies on Earth; None where the file does not say.
        notices: what the caller should know was made of the file.
    """

    width: int
    height: int
    bands: int
    dtype: str
    grid: GeoGrid | None
    notices: tuple[str, ...]


class Raster(Protocol):
    """An image that is read window by window, by several threads at once. Whoever opened it closes it."""

    @property
    def info(self) -> RasterInfo:
        """What is known of it."""

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window, whose slices have a start and a stop and lie within the raster.

        Returns:
            uint8 (rows, columns, 3), RGB, and bool (rows, columns): where something was observed. Elsewhere the image
            is black.

        Raises:
            ImageUnreadable: the file is cut short or damaged there.
        """

    def close(self) -> None:
        """Give back what it holds; nothing may be read any more."""
