"""Masks as Label Studio's brush keeps them: run lengths of the bytes of an RGBA picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_WORD = 8
_SIZES = (3, 4, 8, 16)
"""Bits of a run's length; each run says which of them it has."""


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """Return the bytes that Label Studio decodes to a mask, bool (height, width): opaque where the object is."""
    # The four bytes of a pixel are alike, so that runs of pixels are runs of bytes.
    flat = mask.ravel()
    turns = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    bits = [f"{4 * flat.size:032b}{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, end in pairwise(turns):
        value = f"{255 * int(flat[start]):08b}"
        left = 4 * (end - start)
        while left:
            length = min(left, 1 << _SIZES[-1])
            index = next(place for place, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f"1{index:02b}{length - 1:0{_SIZES[index]}b}{value}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[place : place + 8], 2) for place in range(0, len(text), 8)]


def decode(data: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask that a brush drew, bool (height, width).

    Raises:
        ValueError: the bytes are those of a picture of another size.
    """
    text = "".join(f"{byte:08b}" for byte in data)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        if place > len(text):
            raise ValueError("the brush's run lengths are cut off")
        return int(text[place - count : place], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if total != 4 * height * width:
        raise ValueError(f"a brush of {total} bytes in an image of {height} × {width}")
    values: list[NDArray[np.uint8]] = []
    count = 0
    while count < total:
        alike = take(1)
        length = take(sizes[take(2)]) + 1
        words = [take(word)] * length if alike else [take(word) for _ in range(length)]
        values.append(np.array(words, np.uint8))
        count += length
    return np.asarray(np.concatenate(values)[3:total:4].reshape(height, width) > 0)
