"""What the frozen answers are about: pictures drawn in whole numbers, in files whose bytes no library chooses."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from struct import pack
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile

UInt8 = NDArray[np.uint8]
Box = tuple[int, int, int, int]

WEST, NORTH, METRES = 366_642.5, 4_104_511.0, 0.5
UTM = "EPSG:32615"
WIDTH, HEIGHT = 640, 560
"""Of a scene: more than one tile of a Cloud-Optimised GeoTIFF, so that it has an overview."""


def ground(height: int, width: int, level: int = 1) -> UInt8:
    """Return ground, uint8 (height, width, 3), that looks alike nowhere: `level` and up to 28 more."""
    y, x = np.mgrid[:height, :width]
    channels = [(7 * x + 13 * y + (x * y) // 11 + 5 * band) % 29 + level for band in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


def drawn(pixels: UInt8, boxes: Sequence[tuple[Box, int]]) -> UInt8:
    """Return a picture with boxes (x0, y0, x1, y1), ends exclusive, of one green value each."""
    picture = pixels.copy()
    for (x0, y0, x1, y1), green in boxes:
        picture[y0:y1, x0:x1] = (green // 2, green, 255 - green)
    return picture


def png(pixels: UInt8) -> bytes:
    """Return uint8 (height, width) or (height, width, 3) as a PNG whose rows are stored as they are."""
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1).tobytes()
    blocks = [rows[at : at + 0xFFFF] for at in range(0, len(rows), 0xFFFF)]
    stream = b"\x78\x01"
    for number, block in enumerate(blocks, 1):
        stream += pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
    header = pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stream + pack(">I", zlib.adler32(rows))), (b"IEND", b""))
    body = (pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def geotiff(pixels: UInt8, right: int = 0, down: int = 0, crs: str = UTM) -> bytes:
    """Return a GeoTIFF of half a metre in Joplin, moved by whole pixels."""
    transform = Affine(METRES, 0, WEST + METRES * right, 0, -METRES, NORTH - METRES * down)
    height, width, bands = pixels.shape
    profile = {"width": width, "height": height, "count": bands, "dtype": "uint8"}
    with MemoryFile(ext=".tif") as memory:
        with memory.open(driver="GTiff", crs=CRS.from_string(crs), transform=transform, **profile) as file:
            file.write(np.moveaxis(pixels, 2, 0))
        return bytes(memory.getbuffer())


def pair() -> dict[str, bytes]:
    """Return two pictures of one frame, buildings of each class on the second."""
    pre, post = ground(150, 200), ground(150, 200, 3)
    boxes: list[tuple[Box, int]] = [
        ((20, 20, 44, 40), 70),
        ((60, 24, 90, 50), 130),
        ((120, 20, 140, 44), 180),
        ((150, 90, 180, 120), 240),
        ((30, 90, 60, 120), 240),
        ((60, 100, 80, 110), 100),
    ]
    return {"pre": png(pre), "post": png(drawn(post, boxes))}


def found_pair() -> dict[str, bytes]:
    """Return two pictures: three houses white on black, then ground of two brightnesses."""
    pre, post = np.zeros((2, 150, 200, 3), np.uint8)
    post[:, :100], post[:, 100:] = 40, 240
    for x, y in ((20, 30), (20, 90), (140, 60)):
        pre[y : y + 20, x : x + 16] = 255
    return {"pre": png(pre), "post": png(post)}


def scene(right: int = 0, down: int = 0) -> UInt8:
    """Return ground with buildings as a satellite sees it from so many pixels to the right and farther down."""
    boxes: list[tuple[Box, int]] = [
        ((60, 90, 120, 170), 60),
        ((200, 250, 330, 300), 250),
        ((400, 60, 440, 130), 130),
        ((520, 480, 600, 540), 180),
    ]
    return drawn(ground(HEIGHT, WIDTH), boxes)[down:, right:]


def scenes(**more: bytes) -> dict[str, bytes]:
    """Return two GeoTIFFs of the same ground, of which the second begins 40 pixels to the right and 24 below."""
    return {"pre": geotiff(scene()), "post": geotiff(scene(40, 24), 40, 24), **more}


def districts() -> bytes:
    """Return two districts in degrees: one with buildings, one far away."""

    def square(name: str, west: float, south: float, side: float) -> dict[str, Any]:
        east, north = west + side, south + side
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }

    features = [square("town", -94.6, 37.0, 0.2), square("sea", 0.0, 0.0, 1.0)]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def photo() -> bytes:
    """Return a photograph, 128 × 128, with pieces of both classes of waste; even edges make halving it exact."""
    boxes: list[tuple[Box, int]] = [((20, 20, 60, 60), 128), ((60, 20, 100, 60), 250), ((10, 100, 16, 106), 250)]
    return png(drawn(np.zeros((128, 128, 3), np.uint8), boxes))


def thing() -> bytes:
    """Return a picture, 160 × 120, of a bright box on dark ground, as even as the model's crop is coarse."""
    return png(drawn(np.full((120, 160, 3), 40, np.uint8), [((56, 36, 104, 84), 230)]))
