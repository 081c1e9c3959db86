"""Large pairs of GeoTIFFs, drawn by repeating a town, and written by windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from maskgate_client.scenes import draw_scene
from rasterio.windows import Window

from gateway.media.gdal import contained
from tests.support.geotiffs import grid

TOWN = 512


def write_large(folder: Path, width: int, height: int, seed: int = 3, quality: int = 80) -> tuple[Path, Path]:
    """Write a pair of such sizes, in pixels, into `folder`, in tiles of JPEG as satellite images often are.

    The ground is dark, but not black as borders are, and buildings are bright, so that a trivial model finds them.

    Returns:
        The paths of the pre- and the post-disaster image.
    """
    scene, where = draw_scene(seed, TOWN), grid(width, height)
    ground = (scene.labels == 0)[..., np.newaxis]
    paths = folder / f"{width}x{height}_pre.tif", folder / f"{width}x{height}_post.tif"
    for path, pixels in zip(paths, (scene.pre, scene.post), strict=True):
        shown = np.where(ground, 16 + pixels // 8, 64 + pixels // 2).astype(np.uint8)
        row = np.moveaxis(np.tile(shown, (1, -(-width // TOWN), 1))[:, :width], 2, 0)
        with (
            contained(),
            rasterio.open(
                path,
                "w",
                driver="GTiff",
                width=width,
                height=height,
                count=3,
                dtype="uint8",
                crs=where.crs,
                transform=where.affine,
                tiled=True,
                blockxsize=TOWN,
                blockysize=TOWN,
                compress="jpeg",
                photometric="ycbcr",
                jpeg_quality=quality,
            ) as file,
        ):
            for top in range(0, height, TOWN):
                rows = min(TOWN, height - top)
                file.write(row[:, :rows], window=Window(0, top, width, rows))
    return paths
