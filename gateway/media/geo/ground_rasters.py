"""GeoTIFFs of one band that say something of the ground, heights or classes, on the grid of an image.

GDAL warps them: heights bilinearly, over as many of their pixels as one of the image covers, classes by the nearest
one. What a file does not know takes no part in that, and is missing: its nodata value, what its mask hides, and a fill
value that lies apart from all else.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.errors import BandsUnsuitable, GeometryUnsuitable, UnsupportedMedia
from gateway.media.gdal import contained, reading_raster
from gateway.media.geo.alignment import Frame
from gateway.media.geo.datasets import DatasetPool
from gateway.media.geo.geography import read_grid
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import Opener, is_tiff, openers
from gateway.media.geo.parts import NOTHING, around, part_of, widened
from gateway.media.geo.sparse import SparseFile
from gateway.media.geo.tiff_header import DAMAGED, read_tiff
from gateway.media.geo.validity import Validity, declared_validity, guessed_fills
from gateway.media.pictures.images import ImageLimits

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

NO_CLASS = 255
"""What stands where no class is known."""

_METRES = {
    **dict.fromkeys(("", "m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("ft", "foot", "feet", "international foot"), 0.3048),
    **dict.fromkeys(("us survey foot", "us survey feet", "ftus", "us-ft", "foot_us"), 1200 / 3937),
    **dict.fromkeys(("cm", "centimetre", "centimeter"), 0.01),
}
"""Unit as a band may name it → metres; a band that names none is in metres."""

_A_CORNER = (slice(0, 1), slice(0, 1))
"""Of a file that lies elsewhere than what it is to say something of: it is warped to nothing."""

_AVERAGED, _BESIDE = 2, 2
"""Pixels of an image beside it whose ground is averaged into its outermost ones, and of the raster beside those."""

_APART = "There is no way from the coordinate reference system of the raster to that of the image."


class GroundRaster:
    """A raster on the grid of an image, read window by window, by several threads at once.

    Attributes:
        notices: what the caller should know was made of the file.
    """

    def __init__(
        self, pool: DatasetPool, validity: Validity | None, measure: _Measure | None, notices: tuple[str, ...]
    ) -> None:
        """Keep what `GroundFile` opened; without `validity` the last band says what is known."""
        self._pool, self._validity, self._measure = pool, validity, measure
        self.notices = notices

    def read(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return a window: heights, float32 (rows, columns), metres or NaN, or classes, uint8, 255 where none is known.

        Raises:
            ImageUnreadable: the file is cut short or damaged there.
        """
        from rasterio.windows import Window

        window = Window.from_slices(rows, columns)
        with reading_raster(DAMAGED), self._pool.lend() as dataset:
            samples = dataset.read(1, window=window)
            if self._validity is None:
                known = dataset.read(dataset.count, window=window) > 0
            else:
                known = self._validity.observed(dataset, (1,), samples[np.newaxis], window)
        if self._measure is None:
            return np.where(known & (samples >= 0) & (samples < NO_CLASS), samples, NO_CLASS).astype(np.uint8)
        heights = self._measure.metres(samples)
        heights[~known] = np.nan
        return heights


class _Measure:
    """How samples become metres."""

    def __init__(self, dataset: DatasetReader) -> None:
        unit = (dataset.units[0] or "").strip().lower()
        if unit not in _METRES:
            raise BandsUnsuitable("The band says that its heights are in a unit which is neither metres nor feet.")
        self.factor = _METRES[unit]
        self._scale, self._offset = dataset.scales[0], dataset.offsets[0]

    def metres(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return np.asarray((samples * self._scale + self._offset) * self.factor, np.float32)


class GroundFile:
    """A GeoTIFF of one band, open.

    Args:
        data: the file; see `open_geotiff`.
        limits: what sizes are read.
        classes: whether its samples are classes; else they are heights.

    Attributes:
        size: (width, height) in pixels.
        grid: where it lies; None where it does not say.
        notices: what the caller should know was made of it.

    Raises:
        UnsupportedMedia: not TIFF.
        BandsUnsuitable: not of one band, of classes that are no whole numbers, or of heights in a strange unit.
        MaskgateError: as `open_geotiff`.
    """

    def __init__(self, data: memoryview | SparseFile, limits: ImageLimits, *, classes: bool) -> None:
        """Read what it says of itself."""
        if not is_tiff(bytes(data[:4])):
            raise UnsupportedMedia("Heights and land cover are read as GeoTIFF; this is none.")
        header = read_tiff(data, limits, scans=not isinstance(data, SparseFile))
        self.size = header.size
        self._classes = classes
        with reading_raster(DAMAGED), ExitStack() as closing:
            by_windows, at_will, _ = openers(data, header, closing)
            self._elsewhere = isinstance(data, SparseFile)
            self._opened: Opener = by_windows if self._elsewhere else lambda stack: at_will(stack, None)
            dataset = self._opened(closing)
            kind = dataset.dtypes[0]
            if dataset.count != 1 or kind.startswith("complex") or (classes and kind.startswith("float")):
                what = "of classes, whole numbers" if classes else "of heights, in metres"
                raise BandsUnsuitable(f"The raster is to have one band {what}.")
            self.grid = read_grid(dataset)
            self._measure = None if classes else _Measure(dataset)
            self._validity, notices = _validity(dataset)
            self._nodata = self._validity.fills[0] if self._validity.fills else dataset.nodata
            if self._measure is not None and self._measure.factor != 1:
                notices = (*notices, f"heights were multiplied by {self._measure.factor:.6g} to be metres")
            self.notices = notices
            self._closing = closing.pop_all()

    def as_it_is(self) -> GroundRaster:
        """Return it on its own grid; it is to stay open as long as what is returned."""
        with reading_raster(DAMAGED):
            pool = DatasetPool(self._opened)
            self._closing.callback(pool.close)
        return GroundRaster(pool, self._validity, self._measure, self.notices)

    def on(self, grid: GeoGrid) -> GroundRaster:
        """Return it on the grid of an image; it is to stay open as long as what is returned.

        Raises:
            GeometryUnsuitable: there is no way from one coordinate reference system to the other.
            ValueError: it does not say where it lies.
        """
        if self.grid is None:
            raise ValueError("what lies nowhere cannot be warped")
        source, opened = self._cut_out(self.grid, grid) if self._elsewhere else (self.grid, self._opened)
        with reading_raster(_APART, GeometryUnsuitable):
            frame = Frame(source, grid)
            dtype = None if self._classes else "float32"
            pool = DatasetPool(
                lambda stack: frame.warped(
                    opened(stack), stack, nearest=self._classes, nodata=self._nodata, dtype=dtype
                )
            )
            self._closing.callback(pool.close)
        return GroundRaster(pool, None, self._measure, self.notices)

    def _cut_out(self, own: GeoGrid, grid: GeoGrid) -> tuple[GeoGrid, Opener]:
        """Return where that part of a file elsewhere lies which warping to `grid` may read, and what opens it.

        Warping reads what it likes, and of the rest of the file nothing is here.
        """
        import rasterio
        from rasterio.enums import MaskFlags
        from rasterio.io import MemoryFile
        from rasterio.windows import Window

        found = around(own, grid, _AVERAGED)
        part = _A_CORNER if found == NOTHING else widened(found, _BESIDE, own)
        cut = part_of(own, part)
        memory = MemoryFile()
        self._closing.callback(memory.close)
        with reading_raster(DAMAGED), ExitStack() as stack:
            dataset, window = self._opened(stack), Window.from_slices(*part)
            kind = {"driver": "GTiff", "count": 1, "dtype": dataset.dtypes[0], "BIGTIFF": "IF_SAFER"}
            place = {"width": cut.width, "height": cut.height, "crs": cut.crs, "transform": cut.affine}
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), memory.open(**kind, **place) as writer:
                writer.write(dataset.read(1, window=window), 1)
                if MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
                    writer.write_mask(dataset.read_masks(1, window=window))

        def opened(stack: ExitStack) -> Any:
            return stack.enter_context(rasterio.open(memory.name, driver="GTiff"))

        return cut, opened

    def close(self) -> None:
        """Give back what it holds, and what was made of it."""
        with contained():
            self._closing.close()


def _validity(dataset: DatasetReader) -> tuple[Validity, tuple[str, ...]]:
    """Return what says where a file knows something, and what the caller should know of that."""
    validity = declared_validity(dataset, None)
    if validity.declared:
        return validity, validity.notices
    fills = guessed_fills(dataset, (1,))[:1]
    said = tuple(f"{fill:g} is taken for nothing known, which the file does not declare" for fill in fills)
    return Validity(fills=fills), (*validity.notices, *said)
