"""GeoTIFF, read window by window out of the bytes of the upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.errors import GeometryUnsuitable, ImageTooLarge, ImageUnreadable, ImageUnsuitable, UnsupportedMedia
from gateway.media.gdal import contained, reading_raster
from gateway.media.georeference import GeoGrid
from gateway.media.images import ImageLimits
from gateway.media.rasters import RasterInfo
from gateway.media.samples import Samples, choose_samples

if TYPE_CHECKING:
    from rasterio.io import DatasetReader, MemoryFile

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF files begin, those of more than 4 GiB (BigTIFF) included."""

DAMAGED = "The TIFF image is cut short or damaged."


class DatasetPool:
    """Datasets of one file, opened one per thread that reads at the same time: GDAL's are for one thread each."""

    def __init__(self, opened: Callable[[], DatasetReader]) -> None:
        """Open the first one, with `opened`, which more will be opened with."""
        self._opened = opened
        self._idle = [opened()]
        self._lock = Lock()

    @contextmanager
    def lend(self) -> Iterator[DatasetReader]:
        """Give a dataset that nobody else has."""
        with self._lock:
            dataset = self._idle.pop() if self._idle else None
        dataset = dataset or self._opened()
        try:
            yield dataset
        finally:
            with self._lock:
                self._idle.append(dataset)

    def close(self) -> None:
        """Close them all; none may be lent."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


class GeoTiff:
    """A TIFF image, with or without geography; see `Raster`."""

    def __init__(self, memory: MemoryFile, pool: DatasetPool, info: RasterInfo, samples: Samples) -> None:
        """Keep what `open_geotiff` found."""
        self.info = info
        self.samples = samples
        self.pool = pool
        self.name: str = memory.name
        self._memory = memory

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`."""
        return read_window(self.pool, self.samples, rows, columns)

    def close(self) -> None:
        """Give back what it holds of the upload."""
        with contained():
            self.pool.close()
            self._memory.close()


def is_tiff(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a TIFF file."""
    return bytes(data[:4]) in SIGNATURES


def open_geotiff(data: memoryview, limits: ImageLimits) -> GeoTiff:
    """Open a TIFF image for reading by windows; a glance is taken at its samples, no more.

    Args:
        data: the file. It is read where it lies, never copied, and may not change before the image is closed.
        limits: what sizes are served.

    Raises:
        UnsupportedMedia: not TIFF.
        ImageUnreadable: damaged, or cut short.
        ImageTooLarge: as `limits` says.
        ImageUnsuitable: too small.
        BandsUnsuitable: not an image in RGB or grey.
        GeometryUnsuitable: its geography is broken, or of a kind that is not served.
    """
    from rasterio.io import MemoryFile

    if not is_tiff(data):
        raise UnsupportedMedia("The image is not TIFF.")
    with reading_raster(DAMAGED):
        memory = MemoryFile(data)
        try:
            pool = DatasetPool(lambda: _opened(memory.name))
            with pool.lend() as dataset:
                check_size(dataset.width, dataset.height, limits)
                samples, notices = choose_samples(dataset)
                info = RasterInfo(
                    dataset.width, dataset.height, dataset.count, dataset.dtypes[0], _grid(dataset), notices
                )
        except BaseException:
            memory.close()
            raise
    return GeoTiff(memory, pool, info, samples)


def read_window(pool: DatasetPool, samples: Samples, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
    """Return a window of the file that `pool` is of; see `Raster.read`."""
    from rasterio.windows import Window

    with reading_raster(DAMAGED), pool.lend() as dataset:
        return samples.read(dataset, Window.from_slices(rows, columns))


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Refuse what is not served.

    Raises:
        ImageTooLarge: more pixels or a longer side than `limits` has, which the error carries.
        ImageUnsuitable: a side is too short.
    """
    size = f"{width}×{height}"
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(f"The image is {size} pixels; a side may have {limits.max_side:,}.", limit=limits.max_side)
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"The image is {size} pixels; {limits.max_pixels:,} in all are served.", limit=limits.max_pixels
        )
    if min(width, height) < limits.min_side:
        raise ImageUnsuitable(f"The image is {size} pixels; a side must have at least {limits.min_side}.")


def _opened(name: str) -> Any:
    import rasterio

    return rasterio.open(name, driver="GTiff")


def _grid(dataset: DatasetReader) -> GeoGrid | None:
    affine = dataset.transform
    if dataset.crs is None or affine.is_identity:
        return None
    grid = GeoGrid(dataset.crs, affine, dataset.width, dataset.height)
    if not grid.footprint:
        raise GeometryUnsuitable("The file puts its pixels nowhere.")
    return grid
