"""Small pictures as bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UInt8 = NDArray[np.uint8]


def noise(height: int, width: int, seed: int = 0) -> UInt8:
    """Return smooth random RGB, so that every class and every tile border sees something else."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode(pixels: NDArray[Any], kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    """Return an array as an image file."""
    image = Image.fromarray(pixels)
    return save(image.convert(mode) if mode else image, kind, **options)


def save(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return a PIL image as a file."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def decode(data: bytes) -> NDArray[Any]:
    """Return a file's stored values: indices where it is indexed."""
    return np.asarray(Image.open(io.BytesIO(data)))
