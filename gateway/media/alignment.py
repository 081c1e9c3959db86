"""Bringing the post-disaster raster to the pixel grid of the pre-disaster one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from shapely import Polygon

from gateway.errors import GeographyMissing
from gateway.media.gdal import contained, reading_raster
from gateway.media.georeference import GeoGrid
from gateway.media.geotiff import DAMAGED, DatasetPool, GeoTiff, read_window
from gateway.media.rasters import RasterInfo
from gateway.media.samples import Samples

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]


class AlignedRaster:
    """A raster on the grid of another, warped window by window as it is read; see `Raster`."""

    def __init__(self, pool: DatasetPool, samples: Samples, info: RasterInfo) -> None:
        """Keep what `aligned` made."""
        self.info = info
        self._pool = pool
        self._samples = samples

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`. What lies outside of the warped raster was not observed."""
        return read_window(self._pool, self._samples, rows, columns)

    def close(self) -> None:
        """Give back what warping holds; the raster that is warped stays open."""
        with contained():
            self._pool.close()


def aligned(post: GeoTiff, grid: GeoGrid, shift: tuple[float, float] = (0.0, 0.0)) -> AlignedRaster:
    """Return `post` on the pre-disaster `grid`, bilinearly, averaged where its pixels are the smaller ones.

    Args:
        post: has geography. It must stay open as long as what is returned.
        grid: of the pre-disaster image; may be rotated.
        shift: (dx, dy), pixels of `grid`: what `grid` has at (x, y), `post` has at (x + dx, y + dy) by its own account.

    Raises:
        GeographyMissing: `post` has none.
        ImageUnreadable: there is no way from one coordinate reference system to the other.
    """
    if post.info.grid is None:
        raise GeographyMissing("The image has no geography.")
    affine = grid.affine * Affine.translation(*shift)
    with reading_raster(DAMAGED):
        pool = DatasetPool(lambda: _warped(post, grid, affine))
    info = RasterInfo(grid.width, grid.height, post.info.bands, post.info.dtype, grid, post.info.notices)
    return AlignedRaster(pool, post.samples, info)


def overlap(pre: GeoGrid, post: GeoGrid) -> Polygon:
    """Return which part of the pre grid the post grid covers, in pre pixel coordinates; empty where none."""
    outline = pre.from_lon_lat(post.footprint)
    if not np.isfinite(outline).all():
        return Polygon()
    frame = Polygon([(0, 0), (0, pre.height), (pre.width, pre.height), (pre.width, 0)])
    common = frame.intersection(Polygon(outline).buffer(0))
    return common if isinstance(common, Polygon) else Polygon()


def _warped(post: GeoTiff, grid: GeoGrid, affine: Affine) -> Any:
    """Return a dataset that warps one of `post`, which it closes with itself."""
    import rasterio
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.vrt import WarpedVRT

    source = rasterio.open(post.name, driver="GTiff")
    return WarpedVRT(
        source,
        crs=grid.crs,
        transform=affine,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.bilinear,
        add_alpha=ColorInterp.alpha not in source.colorinterp,
    )
