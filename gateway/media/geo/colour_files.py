"""Images in colour, held whole, as GeoTIFF."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gateway.errors import Internal
from gateway.media.gdal import reading_raster
from gateway.media.geo.georeference import GeoGrid

UInt8 = npt.NDArray[np.uint8]

_TILE = 512
_THREADS = 2
_FAILED = "The image could not be written."


def colour_geotiff(
    pixels: UInt8,
    more: Mapping[str, UInt8],
    observed: npt.NDArray[np.bool_] | None,
    grid: GeoGrid,
    tags: Mapping[str, str],
) -> bytes:
    """Return an image as a Cloud-Optimised GeoTIFF: deflated, with overviews, and a mask of what was not observed.

    Args:
        pixels: uint8 (H, W, 3), RGB: the first three bands.
        more: name of a further band → uint8 (H, W).
        observed: bool (H, W), where it shows something; None: everywhere.
        grid: where it lies.
        tags: what the file says of itself.
    """
    import rasterio.shutil
    from rasterio.enums import ColorInterp
    from rasterio.io import MemoryFile

    height, width = pixels.shape[:2]
    bands = [*np.moveaxis(pixels, -1, 0), *more.values()]
    with reading_raster(_FAILED, Internal), MemoryFile(ext=".tif") as source, MemoryFile(ext=".tif") as target:
        profile = {"width": width, "height": height, "count": len(bands), "dtype": "uint8", "tiled": True}
        place = {"crs": grid.crs, "transform": grid.affine, "blockxsize": _TILE, "blockysize": _TILE}
        # A mask of its own, and not a file beside it.
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), source.open(driver="GTiff", **profile, **place) as file:
            file.colorinterp = [
                ColorInterp.red,
                ColorInterp.green,
                ColorInterp.blue,
                *(ColorInterp.undefined for _ in more),
            ]
            for number, band in enumerate(bands, 1):
                file.write(band, number)
            for number, name in enumerate(("red", "green", "blue", *more), 1):
                file.set_band_description(number, name)
            if observed is not None and not observed.all():
                file.write_mask(observed)
            file.update_tags(**tags)
        with source.open() as written:
            rasterio.shutil.copy(
                written, target.name, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=_TILE, NUM_THREADS=_THREADS
            )
        return bytes(target.getbuffer())
