"""Whatever a caller has, as the bytes of an image file."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskgate_client.images import image_bytes, media_type
from numpy.typing import NDArray
from PIL import Image

PIXELS = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
DEEP = np.arange(4 * 5, dtype=np.uint16).reshape(4, 5) * 3000


def decoded(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(BytesIO(data)))


@pytest.mark.parametrize(
    "pixels",
    [PIXELS[..., :3], PIXELS[..., 0], PIXELS, DEEP, PIXELS[::2, ::-1, :3]],
    ids=["rgb", "l", "rgba", "16", "view"],
)
def test_pixels_are_sent_losslessly(pixels: NDArray[Any]) -> None:
    found = decoded(image_bytes(pixels))
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == pixels.dtype


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_images_of_pillow_keep_their_bands(mode: str) -> None:
    image = Image.fromarray(DEEP) if mode == "I;16" else Image.fromarray(PIXELS[..., :3]).convert(mode)
    sent = Image.open(BytesIO(image_bytes(image)))
    assert sent.mode == mode
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(image))


@pytest.mark.parametrize(("mode", "as_mode"), [("CMYK", "RGB"), ("YCbCr", "RGB"), ("PA", "RGBA")])
def test_bands_that_png_has_not_are_converted(mode: str, as_mode: str) -> None:
    image = Image.fromarray(PIXELS[..., :3]).convert(mode)
    np.testing.assert_array_equal(decoded(image_bytes(image)), np.asarray(image.convert(as_mode)))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_bands_of_no_picture_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"mode {mode} "):
        image_bytes(Image.fromarray(PIXELS[..., 0]).convert(mode))


def test_an_image_of_pillow_is_sent_as_it_lies_in_memory() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    buffer = BytesIO()
    Image.fromarray(PIXELS[..., :3]).save(buffer, "JPEG", exif=turned)
    opened = Image.open(buffer)
    sent = Image.open(BytesIO(image_bytes(opened)))
    assert sent.size == opened.size
    assert 0x0112 not in sent.getexif()


def test_paths_bytes_and_open_files_are_the_same_bytes(tmp_path: Path) -> None:
    path, data = tmp_path / "a.png", b"\x89PNG and so on"
    path.write_bytes(data)
    assert image_bytes(path) == image_bytes(str(path)) == image_bytes(data) == data
    assert image_bytes(bytearray(data)) == image_bytes(memoryview(data)) == data  # type: ignore[arg-type]
    with path.open("rb") as file:
        assert image_bytes(file) == data
    assert image_bytes(BytesIO(data)) == data


@pytest.mark.parametrize("kind", [None, 3, "text"])
def test_what_is_no_image_is_refused_by_its_type(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("not binary")
    with path.open() as file:
        image: Any = file if kind == "text" else kind
        with pytest.raises(TypeError, match="open in binary mode"):
            image_bytes(image)


def test_sending_files_does_not_load_pillow() -> None:
    code = "import maskgate_client, sys; assert 'PIL' not in sys.modules, 'Pillow is loaded'"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"MM\x00*", "image/tiff"),
        (b"", "application/octet-stream"),
    ],
)
def test_parts_say_what_they_are(head: bytes, kind: str) -> None:
    assert media_type(head) == kind
