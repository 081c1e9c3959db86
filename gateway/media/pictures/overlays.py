"""What models saw, drawn over the image as PNG: label maps, with a legend below, and evidence as heat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.pictures.png import bands, check_values, rgb_png, up_filtered

UInt8 = npt.NDArray[np.uint8]

_NEIGHBOURS = np.ones((3, 3), np.uint8)

# Of the strongest evidence; the picture stays to be seen beneath it.
_OPACITY = 0.6

# Turbo up to its brightest red: beyond, it darkens, and what is strongest would look weak.
_HOTTEST = 225

_FONT = cv2.FONT_HERSHEY_SIMPLEX

_TEXT, _PAPER = (24, 24, 24), 255

_SMALLEST, _LARGEST, _READABLE_WIDTH = 0.35, 3.0, 1400


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
    check_values(label_map, palette)
    height, width = label_map.shape
    colours = np.zeros((256, 1, 3), np.uint8)
    colours[: len(palette), 0] = palette
    pictures = (_drawn(image, label_map, rows, colours, alpha) for rows in bands(height, width))
    if legend is None:
        return rgb_png(width, height, up_filtered(pictures, width))
    return rgb_png(width, height + len(legend), up_filtered(chain(pictures, [legend]), width))


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


def encode_heat_overlay(grey: UInt8, evidence: UInt8) -> bytes:
    """Return an RGB PNG of a picture with evidence over it, from blue (little) to red; without any it shows unchanged.

    Args:
        grey: uint8, (height, width).
        evidence: uint8, (height, width), 0: none.
    """
    height, width = grey.shape
    table = _colours()
    pictures = (table[evidence[rows], grey[rows]] for rows in bands(height, width))
    return rgb_png(width, height, up_filtered(pictures, width))


@cache
def _colours() -> UInt8:
    """Return the colour of each evidence over each grey value, uint8, (256, 256, 3), RGB."""
    levels = np.arange(256, dtype=np.uint8)
    stops = np.rint(levels * (_HOTTEST / 255)).astype(np.uint8)
    heat = cv2.cvtColor(cv2.applyColorMap(stops[:, None], cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB).astype(np.float64)
    opacity = (_OPACITY * levels / 255)[:, None, None]
    return np.asarray(np.rint(opacity * heat + (1 - opacity) * levels[None, :, None]), np.uint8)


@dataclass(frozen=True)
class Entry:
    """One line: a colour, sRGB, and what it means."""

    colour: tuple[int, int, int]
    text: str


def draw_legend(width: int, entries: Sequence[Entry]) -> UInt8:
    """Return a legend on white, uint8, (rows, width, 3), RGB: as many entries side by side as fit, at least one.

    Text grows with the width, and where the picture is too narrow for it, it is cut off at its edge. Characters that
    are not ASCII are shown as question marks: the font has no others.
    """
    scale = float(np.clip(width / _READABLE_WIDTH, _SMALLEST, _LARGEST))
    thickness = max(1, round(scale))
    texts = [entry.text.encode("ascii", "replace").decode() for entry in entries]
    sizes = [cv2.getTextSize(text, _FONT, scale, thickness)[0] for text in texts]
    square = max(height for _, height in sizes) + 2 * thickness
    line, cell = 2 * square, max(length for length, _ in sizes) + 3 * square
    columns = max(1, width // cell)
    rows = -(-len(entries) // columns)
    strip = np.full((rows * line, width, 3), _PAPER, np.uint8)
    for number, (entry, text) in enumerate(zip(entries, texts, strict=True)):
        row, column = divmod(number, columns)
        x, y = column * cell + square // 2, row * line + square // 2
        cv2.rectangle(strip, (x, y), (x + square, y + square), entry.colour, cv2.FILLED)
        cv2.rectangle(strip, (x, y), (x + square, y + square), _TEXT, 1)
        cv2.putText(
            strip, text, (x + square * 3 // 2, y + square - thickness), _FONT, scale, _TEXT, thickness, cv2.LINE_AA
        )
    return strip
