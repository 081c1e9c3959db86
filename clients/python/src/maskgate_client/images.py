"""Images on their way out: whatever the caller has, as the bytes of an image file."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class ImageFile(Protocol):
    """A file that is open in binary mode; it is read from where it stands."""

    def read(self) -> bytes:
        """Return the rest of it."""


@runtime_checkable
class PillowImage(Protocol):
    """An image of Pillow. Its pixels are sent as they lie in memory, whatever orientation its EXIF data says."""

    @property
    def mode(self) -> str:
        """Its bands, such as ``RGB``."""

    def save(self, fp: Any, format: str, **options: Any) -> None:
        """Write it to a file."""

    def convert(self, mode: str) -> PillowImage:
        """Return it with other bands."""


ImageInput = str | PathLike[str] | bytes | NDArray[np.uint8] | NDArray[np.uint16] | PillowImage | ImageFile
"""The path of an image file, its bytes, an open file, an image of Pillow, or pixels: uint8 (height, width) grey,
(height, width, 3) RGB or (height, width, 4) RGBA, or uint16 (height, width) grey."""

_SIGNATURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
_MODES_OF_PNG = {"1", "L", "LA", "I;16", "P", "RGB", "RGBA"}
_MODES_OF_COLOUR = {"CMYK", "YCbCr", "HSV", "LAB", "PA", "RGBX", "RGBa", "La"}
# Level 1: on the way to a gateway nearby, time counts more than the last tenth of the size.
_LEVEL = 1


def image_bytes(image: ImageInput) -> bytes:
    """Return `image` as the bytes of a file: read, as they are, or pixels encoded as PNG.

    Raises:
        OSError: the file cannot be read.
        ValueError: pixels of a shape, type or mode that no image file of the gateway has.
        TypeError: it is none of `ImageInput`.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, np.ndarray):
        return png_bytes(image)
    if isinstance(image, str | PathLike):
        return Path(image).read_bytes()
    if isinstance(image, PillowImage):
        return _pillow_bytes(image)
    data = image.read() if isinstance(image, ImageFile) else None
    if isinstance(data, bytes):
        return data
    raise TypeError(f"an image is a path, bytes, a file open in binary mode, or pixels, not {type(image).__name__}")


def png_bytes(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Return `pixels`, of one of the shapes that `ImageInput` names, as a PNG file.

    Raises:
        ValueError: the array has another shape or type.
    """
    shape = pixels.shape
    grey, colour = len(shape) == 2, len(shape) == 3 and shape[2] in (3, 4)
    fits = (pixels.dtype == np.uint8 and (grey or colour)) or (pixels.dtype == np.uint16 and grey)
    if not fits or not pixels.size:
        raise ValueError(
            "expected uint8 (height, width), (height, width, 3) or (height, width, 4), or uint16 (height, width), "
            f"got {pixels.dtype} {shape}"
        )
    # Whoever sends files needs no Pillow, and waits for it no longer.
    from PIL import Image

    return _pillow_bytes(Image.fromarray(pixels))


def _pillow_bytes(image: PillowImage) -> bytes:
    if image.mode in _MODES_OF_COLOUR:
        image = image.convert("RGBA" if image.mode in ("PA", "RGBa", "La") else "RGB")
    if image.mode not in _MODES_OF_PNG:
        raise ValueError(f"an image of Pillow's mode {image.mode} cannot be sent; convert it to L, I;16 or RGB")
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=_LEVEL)
    return buffer.getvalue()


def media_type(data: bytes) -> str:
    """Return the media type that `data` begins like."""
    return next((name for head, name in _SIGNATURES.items() if data.startswith(head)), "application/octet-stream")
