"""Pictures as they are, as PNG."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gateway.media.pictures.png import bands, grey_png, rgb_png, up_filtered

UInt8 = npt.NDArray[np.uint8]


def encode_picture(pixels: UInt8) -> bytes:
    """Return an RGB PNG of pixels, uint8 (H, W, 3)."""
    height, width = pixels.shape[:2]
    return rgb_png(width, height, up_filtered((pixels[rows] for rows in bands(height, width)), width))


def encode_grey(values: UInt8) -> bytes:
    """Return a grey PNG of values, uint8 (H, W)."""
    height, width = values.shape
    return grey_png(width, height, _unfiltered(values))


def _unfiltered(values: UInt8) -> Iterator[UInt8]:
    height, width = values.shape
    for rows in bands(height, width):
        # Filter type 0, then the row.
        yield np.pad(values[rows], ((0, 0), (1, 0)))
