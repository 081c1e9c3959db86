"""Large pairs of GeoTIFFs, drawn by repeating a town, and written by windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from maskgate_client.scenes import draw_scene
from rasterio.windows import Window

from gateway.media.gdal import contained
from tests.support.geotiffs import grid

TOWN = 512


def write_large(folder: Path, width: int, height: int, *, warped: bool = False) -> tuple[Path, Path]:
    """Write a pair of such sizes, in pixels, into `folder`, in tiles of JPEG as satellite images often are.

    The ground is dark, but not black as borders are, and buildings are bright, so that a trivial model finds them.

    Args:
        folder: that they are written to.
        width: in pixels.
        height: in pixels.
        warped: whether the post image lies on another grid, a third of a pixel off the other, and is to be warped.

    Returns:
        The paths of the pre- and the post-disaster image.
    """
    scene, where = draw_scene(3, TOWN), grid(width, height)
    ground = (scene.labels == 0)[..., np.newaxis]
    paths = folder / f"{width}x{height}_pre.tif", folder / f"{width}x{height}_post.tif"
    off = where.affine @ Affine.translation(1 / 3, 1 / 3) if warped else where.affine
    for path, pixels, affine in zip(paths, (scene.pre, scene.post), (where.affine, off), strict=True):
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
                transform=affine,
                tiled=True,
                blockxsize=TOWN,
                blockysize=TOWN,
                compress="jpeg",
                photometric="ycbcr",
                jpeg_quality=80,
            ) as file,
        ):
            for top in range(0, height, TOWN):
                rows = min(TOWN, height - top)
                file.write(row[:, :rows], window=Window(0, top, width, rows))
    return paths
