"""The shift that remains between two images of one grid, measured to a fraction of a pixel, with a confidence.

Phase correlation (Kuglin and Hines, 1975) of gradient magnitudes: edges stay where light and season change the colours.
It is measured in a few blocks, whatever the size of the images, and their correlations are added up, so that what has
changed in one place, or a cloud over another, is outvoted. How many blocks see the same shift by themselves is how far
it can be trusted: where leaning towers or a slope move everything differently, no one shift is right. Blocks that
overlap see the same pixels and confirm nothing to each other: three that do not overlap have to agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SURE = 0.5
"""Confidence from which a shift is corrected: half the blocks. Images of two places come to an eighth by chance."""

_LARGEST_BLOCK, _SMALLEST_BLOCK = 512, 32
_NARROWEST = 16
_BLOCKS_ACROSS = 3
# Fewer than this say nothing about each other.
_FEWEST_BLOCKS = 4
# So many blocks without a pixel in common have to see a shift, or it is chance.
_INDEPENDENT = 3
# A shorter block has no room for its margins and a shift.
_LEAST_SIDE = 16
_LEAST_VALID = 0.5
_AGREEMENT_PIXELS = 1.5
# What a peak of the correlation is spread to, in pixels, so that its top can be told between pixels.
_SPREAD = 1.5
_MARGIN = 4
_LEAST_CONTRAST = 1.0


@dataclass(frozen=True)
class Block:
    """A square of both images: its top left pixel (x, y) and its side, in pixels."""

    x: int
    y: int
    side: int

    def apart(self, other: Block) -> bool:
        """Return whether the two have no pixel in common; both are of one size."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) >= self.side


@dataclass(frozen=True)
class Shift:
    """By how much the second image shows things farther to the right (x) and farther down (y) than the first.

    Attributes:
        x: in pixels.
        y: in pixels.
        confidence: 0–1, the share of blocks that see it by themselves, to 1.5 pixels; 0 where too few show anything, or
            fewer than three of those that see it have no pixel in common.
    """

    x: float
    y: float
    confidence: float

    @property
    def sure(self) -> bool:
        """Whether it should be corrected."""
        return self.confidence >= SURE


def blocks(height: int, width: int) -> tuple[Block, ...]:
    """Return where the shift between two images (height, width) is measured: nine squares, evenly spread.

    They have a side of 512 pixels however large the images are; in smaller ones half the shorter side, and overlap.
    There are none where images are narrower than `_NARROWEST`: that shows no shift.
    """
    shortest = min(height, width)
    if shortest < _NARROWEST:
        return ()
    side = max(min(_LARGEST_BLOCK, shortest // 2), min(_SMALLEST_BLOCK, shortest))
    rows, columns = (np.linspace(0, length - side, _BLOCKS_ACROSS).astype(int).tolist() for length in (height, width))
    return tuple(Block(x, y, side) for y in rows for x in columns)


def correlate(first: UInt8, second: UInt8, valid: Mask) -> Float32 | None:
    """Return how well one block of two images matches at every shift, or None where there is too little to match.

    Args:
        first: uint8 (n, n, 3), RGB.
        second: the same of the other image.
        valid: bool (n, n), pixels that both show.

    Returns:
        float32 (m, m) with m = 2·⌊n/4⌋ + 1, in units of its standard deviation; row and column ⌊n/4⌋ are no shift, to
        the right and down things lie farther to the right and down in `second`.
    """
    side = len(first)
    if side < _LEAST_SIDE or np.count_nonzero(valid) < _LEAST_VALID * valid.size:
        return None
    window = _window(valid)
    seen = [_levelled(_edges(image), window) for image in (first, second)]
    if min(float(np.abs(edges).max()) for edges in seen) < _LEAST_CONTRAST:
        return None
    one, other = (np.fft.rfft2(edges) for edges in seen)
    product = np.conj(one) * other
    surface = np.fft.irfft2(product / (np.abs(product) + 1e-6) * _spread(side), (side, side))
    farthest = side // 4
    near = np.roll(surface, (farthest, farthest), axis=(0, 1))[: 2 * farthest + 1, : 2 * farthest + 1]
    return np.asarray(near / surface.std(), np.float32)


def agree(found: Iterable[tuple[Block, Float32 | None]]) -> Shift:
    """Return what blocks of one size see together, of the `correlate` of each."""
    seen = [(block, surface) for block, surface in found if surface is not None]
    if len(seen) < _FEWEST_BLOCKS:
        return Shift(0.0, 0.0, 0.0)
    x, y = _peak(np.mean([surface for _, surface in seen], axis=0))
    agreeing = []
    for block, surface in seen:
        own_x, own_y = _peak(surface)
        if np.hypot(own_x - x, own_y - y) <= _AGREEMENT_PIXELS:
            agreeing.append(block)
    return Shift(x, y, len(agreeing) / len(seen) if _independent(agreeing) else 0.0)


def measure_shift(first: UInt8, second: UInt8, valid: Mask) -> Shift:
    """Return the shift between two images in memory.

    Args:
        first: uint8 (H, W, 3), RGB.
        second: the same of the other image, on the same grid.
        valid: bool (H, W), pixels that both show.
    """
    places = [
        (block, np.s_[block.y : block.y + block.side, block.x : block.x + block.side]) for block in blocks(*valid.shape)
    ]
    return agree((block, correlate(first[place], second[place], valid[place])) for block, place in places)


def _independent(found: Sequence[Block]) -> bool:
    """Return whether enough blocks have no pixel in common."""
    return any(
        all(one.apart(other) for one, other in combinations(some, 2)) for some in combinations(found, _INDEPENDENT)
    )


def _edges(image: UInt8) -> Float32:
    """Return the magnitude of the gradient of brightness, float32 (n, n)."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
    return np.asarray(cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)), np.float32)


@lru_cache(maxsize=1)
def _spread(side: int) -> Float32:
    """Return what spreads a peak, float32 (side, side // 2 + 1), at the frequencies of a block."""
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    return np.asarray(np.exp(-2 * (np.pi * _SPREAD) ** 2 * (rows**2 + columns**2)), np.float32)


def _window(valid: Mask) -> Float32:
    """Return weights, float32 (n, n), that fall to 0 towards the block's border and that of what is valid.

    Either border would be an edge that both images have in one place.
    """
    side = len(valid)
    hanning = np.asarray(cv2.createHanningWindow((side, side), cv2.CV_32F), np.float32)
    if valid.all():
        return hanning
    inside = cv2.distanceTransform(valid.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    inner = np.clip((inside - _MARGIN) / (side / 16), 0, 1)
    return np.asarray(inner * hanning, np.float32)


def _levelled(edges: Float32, window: Float32) -> Float32:
    """Return windowed edges around a mean of 0: else the window itself would be what matches best."""
    mean = float((edges * window).sum()) / max(float(window.sum()), 1e-6)
    return np.asarray((edges - mean) * window, np.float32)


def _peak(surface: Float32) -> tuple[float, float]:
    """Return the shift (x, y) of the best match, between pixels where it does not lie at the end of the range."""
    middle = len(surface) // 2
    row, column = (int(index) for index in np.unravel_index(surface.argmax(), surface.shape))
    if not (0 < row < len(surface) - 1 and 0 < column < len(surface) - 1):
        return float(column - middle), float(row - middle)
    # A peak is a Gaussian of `_SPREAD`, so that its logarithm is a parabola.
    around = np.log(np.maximum(surface[row - 1 : row + 2, column - 1 : column + 2], 1e-3))
    return column - middle + _vertex(*around[1].tolist()), row - middle + _vertex(*around[:, 1].tolist())


def _vertex(before: float, at: float, after: float) -> float:
    """Return where between −½ and ½ the parabola through three values at −1, 0 and 1 has its top."""
    bend = before - 2 * at + after
    return 0.0 if bend == 0 else (before - after) / (2 * bend)
