"""Photographs at the scale that a model of waste was trained at, and its answers at theirs.

The steps are those of mmsegmentation's test pipeline, so that published weights see what they were evaluated on.
Sizes are (height, width) in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Size = tuple[int, int]

_BAND = 256


def fitted(size: Size, short: int, long: int) -> Size:
    """Return the largest size with the aspect of `size` whose sides keep both limits; it may be larger than `size`.

    1080 × 1920 becomes 512 × 910 with `short` 512 and `long` 2048. No side becomes less than a pixel.
    """
    scale = min(short / min(size), long / max(size))
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return height, width


def aligned(size: Size, multiple: int) -> Size:
    """Return `size` with each side rounded up to a multiple: 512 × 910 becomes 512 × 928 with 32."""
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def to_scale(photo: UInt8, short: int, long: int, multiple: int) -> UInt8:
    """Return a photograph as a model takes it: resized to `fitted`, then, in a second step, to `aligned`.

    The second step bends the aspect a little: mmsegmentation aligns by resizing, not by padding.

    Args:
        photo: uint8, (H, W, 3).
        short: most pixels of the shorter side.
        long: most pixels of the longer side.
        multiple: of which the sides become multiples.

    Returns:
        uint8, (h, w, 3); `photo` itself where it has that size already.
    """
    size = fitted((photo.shape[0], photo.shape[1]), short, long)
    return _resized(_resized(photo, size), aligned(size, multiple))


def from_scale(probabilities: UInt8, size: Size) -> Iterator[tuple[int, UInt8]]:
    """Yield probabilities at another size, bilinear, in bands from top to bottom.

    Bands keep working memory at width × 256 × C, however large the photograph is.

    Args:
        probabilities: uint8, (h, w, C).
        size: the photograph's.

    Yields:
        (y, band) pairs, band uint8 (rows, width, C), that follow each other without gap.
    """
    height, width = size
    wide = _resized(probabilities, (probabilities.shape[0], width))
    # Pixels' centres correspond, not their corners; beyond the outermost centres the edge goes on.
    places = np.clip((np.arange(height) + 0.5) * len(wide) / height - 0.5, 0, len(wide) - 1)
    above = places.astype(np.intp)
    below = np.minimum(above + 1, len(wide) - 1)
    shares = (places - above).astype(np.float32)[:, None, None]
    for top in range(0, height, _BAND):
        rows = slice(top, min(top + _BAND, height))
        band = wide[above[rows]] * (1 - shares[rows]) + wide[below[rows]] * shares[rows]
        yield top, np.rint(band).astype(np.uint8)


def _resized(image: UInt8, size: Size) -> UInt8:
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8).reshape(height, width, -1)
