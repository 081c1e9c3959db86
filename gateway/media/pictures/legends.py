"""What the colours of an overlay mean, as a strip of picture to go below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT, _PAPER = (24, 24, 24), 255
_SMALLEST, _LARGEST, _READABLE_WIDTH = 0.35, 3.0, 1400


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
