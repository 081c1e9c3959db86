"""A raster of larger pixels, each the mean of a block of another's."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.geo.rasters import Raster

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

# Pixels read at once: what lies under a window stays small, however fine the raster is.
_AT_ONCE = 1 << 22
_HALF = 0.5


class AveragedRaster:
    """A raster shrunk by whole numbers, window by window as it is read; see `Raster`.

    A block shows something where at least half of its pixels do, and is their mean.
    """

    def __init__(self, source: Raster, block: tuple[int, int]) -> None:
        """Keep what is averaged, which must stay open; `block` is (across, down) in its pixels."""
        self._source = source
        self._across, self._down = block
        info = source.info
        self.info = replace(info, width=-(-info.width // block[0]), height=-(-info.height // block[1]), grid=None)

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`."""
        shape = rows.stop - rows.start, columns.stop - columns.start
        pixels, observed = np.empty((*shape, 3), np.uint8), np.empty(shape, np.bool_)
        high = max(1, min(_AT_ONCE // (self._across * self._down * shape[1]), shape[0]))
        wide = max(1, min(_AT_ONCE // (self._across * self._down * high), shape[1]))
        for top in range(0, shape[0], high):
            for left in range(0, shape[1], wide):
                part = slice(top, min(top + high, shape[0])), slice(left, min(left + wide, shape[1]))
                at = (
                    slice(start + side.start, start + side.stop)
                    for start, side in zip((rows.start, columns.start), part, strict=True)
                )
                pixels[part], observed[part] = self._mean(*at)
        return pixels, observed

    def close(self) -> None:
        """Do nothing; the raster that is averaged stays open."""

    def _mean(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window small enough to be read whole."""
        info, across, down = self._source.info, self._across, self._down
        under = slice(rows.start * down, min(rows.stop * down, info.height))
        beside = slice(columns.start * across, min(columns.stop * across, info.width))
        pixels, observed = self._source.read(under, beside)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        lacking = height * down - len(pixels), width * across - pixels.shape[1]
        if not any(lacking) and observed.all():
            return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8), np.ones(
                (height, width), np.bool_
            )
        padding = ((0, lacking[0]), (0, lacking[1]))
        shown = np.pad(observed, padding).astype(np.float32)
        sums = np.pad(pixels, (*padding, (0, 0))).astype(np.float32)
        share, mean = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in (shown, sums))
        seen = np.asarray(share >= _HALF)
        shown_mean = np.rint(np.asarray(mean) / np.maximum(share, 1e-6)[..., None]).clip(0, 255)
        means: UInt8 = shown_mean.astype(np.uint8)
        means[~seen] = 0
        return means, seen
