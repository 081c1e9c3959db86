"""GeoTIFF, read window by window out of the upload's bytes, or out of those that were fetched of a file elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.errors import UnsupportedMedia
from gateway.media.gdal import contained, reading_raster
from gateway.media.geo.band_scaling import Samples, choose_samples
from gateway.media.geo.bands import choose_bands
from gateway.media.geo.black_border import Collar, find_collar
from gateway.media.geo.datasets import DatasetPool
from gateway.media.geo.geography import read_grid, said_of_datum
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.jpeg_blocks import JpegBlocks, JpegDataset
from gateway.media.geo.parts import NOTHING, Part
from gateway.media.geo.rasters import RasterInfo
from gateway.media.geo.reading import AS_DECLARED, Reading
from gateway.media.geo.sparse import SparseBlocks, SparseFile
from gateway.media.geo.tiff_header import DAMAGED, Octets, TiffInfo, read_tiff
from gateway.media.geo.validity import declared_validity, guessed_fills
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
        fetch: has what lies under a window, (rows, columns), here before it is read.
        part: rows and columns outside of which nothing is to be read; None: all may be.
        elsewhere: whether its file lies elsewhere, and what is read of it is fetched.
    """

    def __init__(
        self,
        opened: Callable[[ExitStack, Part | None], DatasetReader],
        fetch: Callable[[tuple[slice, slice]], None],
        pool: DatasetPool,
        info: RasterInfo,
        samples: Samples,
        collar: Collar | None,
        part: Part | None,
        closing: ExitStack,
        *,
        elsewhere: bool,
    ) -> None:
        """Keep what `open_geotiff` found."""
        self.info = info
        self.samples = samples
        self.collar = collar
        self.part = part
        self.elsewhere = elsewhere
        self.fetch = fetch
        self._opened = opened
        self._pool = pool
        self._closing = closing

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`."""
        from rasterio.windows import Window

        with reading_raster(DAMAGED), self._pool.lend() as dataset:
            pixels, observed = self.samples.read(dataset, Window.from_slices(rows, columns))
        if self.collar is not None:
            observed &= self.collar.inside(rows, columns)
            pixels[~observed] = 0
        return pixels, observed

    @property
    def whole(self) -> bool:
        """Whether nothing says that a part of it shows nothing."""
        return self.collar is None and self.samples.validity.everywhere and np.dtype(self.info.dtype).kind != "f"

    def dataset(self, stack: ExitStack, part: Part | None) -> DatasetReader:
        """Return another of GDAL's datasets of it, which `stack` closes, and of which a part is here.

        Args:
            stack: closes it.
            part: rows and columns outside of which nothing may be read of it; None: all of the file is here.

        Raises:
            MaskgateError: as `SparseFile.need`.
        """
        return self._opened(stack, part)

    def close(self) -> None:
        """Give back what it holds, its copy of the file included."""
        with contained():
            self._closing.close()


def is_tiff(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a TIFF file."""
    return bytes(data[:4]) in SIGNATURES


def open_geotiff(
    data: bytes | memoryview | SparseFile,
    limits: ImageLimits,
    reading: Reading = AS_DECLARED,
    parted: Callable[[GeoGrid], Part] | None = None,
) -> GeoTiff:
    """Open a TIFF image for reading by windows.

    No more is decoded than the corners, and where samples have more than 8 bits or there is alpha some places all over
    the image; with a corner of one colour everything is, a band of rows at a time, to find the collar. Border and fill
    values are looked for where neither the file nor the caller says where something is shown.

    Args:
        data: the file. `bytes` are read where they lie, another buffer is copied once: let go of it afterwards. What
            lies elsewhere stays open as long as what is returned.
        limits: what sizes are served.
        reading: what the caller says of the file.
        parted: returns of where the image lies what is going to be read of it, and a border is looked for in, or
            refuses that; of an image that lies nowhere nothing is. None: all is going to be read.

    Raises:
        ParameterInvalid: `reading` names bands that the file does not have.
        UnsupportedMedia: not TIFF; a VRT, a URL and whatever else GDAL would read are none.
        CompressionUnsupported: of a compression that is not decoded here.
        ImageUnreadable: damaged, cut short, or without pixels of its own.
        ImageTooLarge: as `limits` says.
        ImageUnsuitable: too small, turned, or compressed in pieces too large.
        BandsUnsuitable: not an image in RGB or grey.
        GeometryUnsuitable: its geography is broken, or of a kind that is not served; see `read_grid`.
        MaskgateError: as `SparseFile.need`.
    """
    if not is_tiff(bytes(data[:4])):
        raise UnsupportedMedia("The image is not TIFF.")
    if isinstance(data, SparseFile):
        header = read_tiff(data, limits, scans=False)
    else:
        header = read_tiff(memoryview(data), limits)
    with reading_raster(DAMAGED), ExitStack() as closing:
        windows, partly, fetch = openers(data, header, closing)
        pool = DatasetPool(windows)
        closing.callback(pool.close)
        with pool.lend() as dataset:
            grid = read_grid(dataset, reading.crs)
            part = None if parted is None else NOTHING if grid is None else parted(grid)
            validity = declared_validity(dataset, reading.nodata)
            bands = choose_bands(dataset, reading.bands, validity.alpha)
            notices = (*bands.notices, *validity.notices, *(said_of_datum(grid) if grid else ()))
            collar = None
            if not validity.declared:
                if fills := guessed_fills(dataset, bands.numbers):
                    validity = replace(validity, fills=fills)
                    told = " and ".join(f"{fill:g}" for fill in fills)
                    notices = (*notices, f"{told} is taken for nothing observed, which the file does not declare")
                collar = find_collar(
                    dataset,
                    bands.numbers,
                    lossy=header.lossy,
                    zero_is_black=bands.colours in ("rgb", "grey"),
                    fills=validity.fills,
                    part=part,
                )
            samples, said = choose_samples(dataset, bands, validity, collar)
            notices = (*notices, *said, *([collar.said] if collar else []))
            dtype = dataset.dtypes[bands.numbers[0] - 1]
            info = RasterInfo(*header.size, dataset.count, dtype, grid, notices)
        away = isinstance(data, SparseFile)
        return GeoTiff(partly, fetch, pool, info, samples, collar, part, closing.pop_all(), elsewhere=away)


Opener = Callable[[ExitStack], Any]
"""Returns another dataset of a file, which the stack closes."""
PartOpener = Callable[[ExitStack, Part | None], Any]
"""The same of a file of which a part is here, or all."""


def openers(
    data: bytes | memoryview | SparseFile, header: TiffInfo, closing: ExitStack
) -> tuple[Opener, PartOpener, Callable[[tuple[slice, slice]], None]]:
    """Return what opens a file for reading by windows, what for whatever GDAL likes of a part, and what fetches one."""
    from rasterio.io import MemoryFile

    if isinstance(data, SparseFile):
        path, blocks = data.path, SparseBlocks(data, header.layers)
        decoded = _decoded(data, header, closing)

        def partly(stack: ExitStack, part: Part | None) -> Any:
            if part is None:
                blocks.whole()
            else:
                blocks.need(part)
            return _opened(path, stack)

        return lambda stack: blocks.dataset(decoded(_opened(path, stack))), partly, blocks.need
    memory = MemoryFile(data)
    closing.callback(memory.close)
    decoded = _decoded(memory.getbuffer(), header, closing)

    def opened(stack: ExitStack) -> Any:
        return _opened(memory.name, stack)

    return lambda stack: decoded(opened(stack)), lambda stack, _: opened(stack), lambda _: None


def _decoded(data: Octets, header: TiffInfo, closing: ExitStack) -> Callable[[Any], Any]:
    """Return what makes of a dataset of a file one whose pixels are decoded faster, where they can be."""
    if header.jpeg is None:
        return lambda dataset: dataset
    blocks = JpegBlocks(data, header.layers[0], header.jpeg, header.size)
    closing.callback(blocks.close)
    return lambda dataset: JpegDataset(dataset, blocks)


def _opened(name: str, stack: ExitStack) -> Any:
    import rasterio

    dataset = rasterio.open(name, driver="GTiff")
    stack.callback(dataset.close)
    return dataset
