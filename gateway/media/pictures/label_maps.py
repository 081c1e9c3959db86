"""Label maps as PNG: the values themselves, and drawn over the image they belong to."""

from __future__ import annotations

from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.pictures.png import bands, indexed_png, rgb_png, up_filtered

UInt8 = npt.NDArray[np.uint8]

_NEIGHBOURS = np.ones((3, 3), np.uint8)


def encode_label_map(label_map: UInt8, palette: UInt8) -> bytes:
    """Return an indexed PNG whose pixel values are the label values.

    Args:
        label_map: uint8, (height, width), values below the length of `palette`.
        palette: uint8, (classes, 3), RGB, 1 to 256 classes. As few bits as these need are written per pixel.

    Raises:
        ValueError: a value has no colour.
    """
    _check_values(label_map, palette)
    bits = next(bits for bits in (1, 2, 4, 8) if len(palette) <= 1 << bits)
    height, width = label_map.shape
    scanlines = (_packed(label_map[rows], bits) for rows in bands(height, width))
    return indexed_png(width, height, bits, palette.tobytes(), scanlines)


def encode_overlay(
    image: UInt8, label_map: UInt8, palette: UInt8, alpha: float = 0.4, legend: UInt8 | None = None
) -> bytes:
    """Return an RGB PNG of `image` with the label map over it; where the label is 0 the image shows unchanged.

    Args:
        image: uint8, (height, width, 3), RGB.
        label_map: uint8, (height, width), values below the length of `palette`.
        palette: uint8, (classes, 3), RGB.
        alpha: opacity of the classes' colours, 0–1. The outermost pixels of each patch are opaque.
        legend: uint8, (rows, width, 3), RGB, what follows below the image.

    Raises:
        ValueError: a value has no colour.
    """
    _check_values(label_map, palette)
    height, width = label_map.shape
    colours = np.zeros((256, 1, 3), np.uint8)
    colours[: len(palette), 0] = palette
    pictures = (_drawn(image, label_map, rows, colours, alpha) for rows in bands(height, width))
    if legend is None:
        return rgb_png(width, height, up_filtered(pictures, width))
    return rgb_png(width, height + len(legend), up_filtered(chain(pictures, [legend]), width))


def _check_values(label_map: UInt8, palette: UInt8) -> None:
    if label_map.max() >= len(palette):
        raise ValueError(f"label value {label_map.max()} has no colour among {len(palette)}")


def _packed(labels: UInt8, bits: int) -> UInt8:
    """Return PNG scanlines, unfiltered, with 8 / bits pixels per byte, the leftmost in the high bits."""
    height, width = labels.shape
    rows = np.zeros((height, -(-width * bits // 8) * 8 // bits), np.uint8)
    rows[:, :width] = labels
    while bits < 8:
        # Two neighbours are one little-endian word with the left one in its low byte.
        pairs = rows.view("<u2")
        rows = np.asarray((pairs << bits) | (pairs >> 8), np.uint8)
        bits *= 2
    scanlines = np.zeros((height, 1 + rows.shape[1]), np.uint8)
    scanlines[:, 1:] = rows
    return scanlines


def _drawn(image: UInt8, label_map: UInt8, rows: slice, colours: UInt8, alpha: float) -> UInt8:
    """Return the rows of the overlay, uint8, (rows, width, 3)."""
    # One row more on either side, so that outlines do not know of bands.
    above = min(rows.start, 1)
    around = label_map[rows.start - above : rows.stop + 1]
    within = slice(above, above + rows.stop - rows.start)
    labels = np.ascontiguousarray(around[within])
    step = cv2.morphologyEx(around, cv2.MORPH_GRADIENT, _NEIGHBOURS)[within]
    outline = cv2.bitwise_and(labels, labels, mask=step)
    colour = cv2.applyColorMap(labels, colours)
    picture = image[rows].copy()
    cv2.copyTo(cv2.addWeighted(picture, 1 - alpha, colour, alpha, 0), labels, picture)
    cv2.copyTo(colour, outline, picture)
    return picture
