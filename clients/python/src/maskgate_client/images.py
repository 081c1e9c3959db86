"""Images on their way out: whatever the caller has, as the bytes of an image file."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ImageInput = str | PathLike[str] | bytes | NDArray[np.uint8]
"""The path of an image file, its bytes, or its pixels: uint8 (height, width, 3), RGB."""

_SIGNATURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}


def image_bytes(image: ImageInput) -> bytes:
    """Return `image` as the bytes of a file: read, as they are, or pixels encoded as PNG.

    Raises:
        OSError: the file cannot be read.
        ValueError: the array is not uint8 (height, width, 3).
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, np.ndarray):
        return png_bytes(image)
    return Path(image).read_bytes()


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return `pixels`, uint8 (height, width, 3), RGB, as a PNG file.

    Raises:
        ValueError: the array has another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"expected uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")
    buffer = BytesIO()
    # Level 1: on the way to a gateway nearby, time counts more than the last tenth of the size.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def media_type(data: bytes) -> str:
    """Return the media type that `data` begins like."""
    return next((name for head, name in _SIGNATURES.items() if data.startswith(head)), "application/octet-stream")
