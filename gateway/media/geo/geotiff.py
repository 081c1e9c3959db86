"""GeoTIFF, read window by window out of the upload's bytes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.errors import UnsupportedMedia
from gateway.media.gdal import contained, reading_raster
from gateway.media.geo.band_scaling import Samples, choose_bands, choose_samples
from gateway.media.geo.black_border import Collar, find_collar
from gateway.media.geo.datasets import DatasetPool
from gateway.media.geo.geography import read_grid
from gateway.media.geo.rasters import RasterInfo
from gateway.media.geo.tiff_header import DAMAGED, read_tiff
from gateway.media.pictures.images import ImageLimits

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF files begin, those of more than 4 GiB (BigTIFF) included."""


class GeoTiff:
    """A TIFF image, with or without geography; see `Raster`.

    Attributes:
        info: what is known of it.
        samples: how its samples become RGB.
        collar: what of it is not of the image.
    """

    def __init__(
        self,
        name: str,
        pool: DatasetPool,
        info: RasterInfo,
        samples: Samples,
        collar: Collar | None,
        closing: ExitStack,
    ) -> None:
        """Keep what `open_geotiff` found."""
        self.info = info
        self.samples = samples
        self.collar = collar
        self._name = name
        self._pool = pool
        self._closing = closing

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`."""
        pixels, observed = read_window(self._pool, self.samples, rows, columns)
        if self.collar is not None:
            observed &= self.collar.inside(rows, columns)
            pixels[~observed] = 0
        return pixels, observed

    def dataset(self, stack: ExitStack) -> DatasetReader:
        """Return another of GDAL's datasets of it, which `stack` closes."""
        return _opened(self._name, stack)

    def close(self) -> None:
        """Give back what it holds, its copy of the upload included."""
        with contained():
            self._closing.close()


def is_tiff(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a TIFF file."""
    return bytes(data[:4]) in SIGNATURES


def open_geotiff(data: bytes | memoryview, limits: ImageLimits) -> GeoTiff:
    """Open a TIFF image for reading by windows.

    No more is decoded than the corners, and where samples have more than 8 bits some places all over the image; with a
    black corner everything is, a band of rows at a time, to find the collar.

    Args:
        data: the file. `bytes` are read where they lie, another buffer is copied once: let go of it afterwards.
        limits: what sizes are served.

    Raises:
        UnsupportedMedia: not TIFF; a VRT, a URL and whatever else GDAL would read are none.
        CompressionUnsupported: of a compression that is not decoded here.
        ImageUnreadable: damaged, cut short, or without pixels of its own.
        ImageTooLarge: as `limits` says.
        ImageUnsuitable: too small, turned, or compressed in pieces too large.
        BandsUnsuitable: not an image in RGB or grey.
        GeometryUnsuitable: its geography is broken, or of a kind that is not served; see `read_grid`.
    """
    if not is_tiff(data):
        raise UnsupportedMedia("The image is not TIFF.")
    header = read_tiff(memoryview(data))
    limits.check(*header.size)
    with reading_raster(DAMAGED):
        from rasterio.io import MemoryFile

        with ExitStack() as closing:
            memory = MemoryFile(data)
            closing.callback(memory.close)
            pool = DatasetPool(lambda stack: _opened(memory.name, stack))
            closing.callback(pool.close)
            with pool.lend() as dataset:
                grid = read_grid(dataset)
                bands, said_of_bands = choose_bands(dataset)
                collar = find_collar(dataset, bands, lossy=header.lossy)
                samples, said_of_samples = choose_samples(dataset, bands, collar)
                said_of_collar = ("black border around the image is not classified",) if collar else ()
                notices = (*said_of_bands, *said_of_samples, *said_of_collar)
                dtype = dataset.dtypes[bands[0] - 1]
                info = RasterInfo(*header.size, dataset.count, dtype, grid, notices)
            return GeoTiff(memory.name, pool, info, samples, collar, closing.pop_all())


def read_window(pool: DatasetPool, samples: Samples, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
    """Return a window of the image that `pool` is of; see `Raster.read`."""
    from rasterio.windows import Window

    with reading_raster(DAMAGED), pool.lend() as dataset:
        return samples.read(dataset, Window.from_slices(rows, columns))


def _opened(name: str, stack: ExitStack) -> Any:
    import rasterio

    dataset = rasterio.open(name, driver="GTiff")
    stack.callback(dataset.close)
    return dataset
