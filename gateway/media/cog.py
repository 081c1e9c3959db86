"""Label maps as Cloud-Optimised GeoTIFF, held compressed while they are made.

Value 0 is background, 255 stands for "not observed" and is the file's nodata value. Nothing is written to disk: the map
lies in GDAL's memory file system as deflated tiles, some hundredth of its pixels for scenes of buildings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from gateway.errors import Internal
from gateway.media.gdal import contained, reading_raster
from gateway.media.georeference import GeoGrid

if TYPE_CHECKING:
    from rasterio.io import MemoryFile

UInt8 = npt.NDArray[np.uint8]

NOT_OBSERVED = 255
"""Label value of pixels where one of the images shows nothing."""

_TILE = 512
_FAILED = "The label map could not be written."


class LabelMapFile:
    """A label map that is written from top to bottom, and then read by windows or made a GeoTIFF of.

    For one thread at a time. Use it as a context manager, which gives back its memory at the end.
    """

    def __init__(self, width: int, height: int, palette: UInt8, grid: GeoGrid | None) -> None:
        """Begin an empty map.

        Args:
            width: pixels across.
            height: pixels down.
            palette: uint8, (classes, 3), RGB, at most 255 classes.
            grid: where its pixels lie; None: nobody knows.
        """
        self.width, self.height = width, height
        self._palette, self._grid = palette, grid
        self._rows = np.empty((_TILE, width), np.uint8)
        self._waiting = self._written = 0
        with reading_raster(_FAILED, Internal):
            from rasterio.io import MemoryFile

            self._memory: MemoryFile = MemoryFile(ext=".tif")
            self._file: Any = self._begin()

    def __enter__(self) -> Self:
        """Return the map itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give back its memory."""
        self.close()

    def write(self, rows: UInt8) -> None:
        """Take the next rows, uint8 (n, width): class values or `NOT_OBSERVED`."""
        while len(rows):
            taken = rows[: min(_TILE, self.height - self._written) - self._waiting]
            self._rows[self._waiting : self._waiting + len(taken)] = taken
            self._waiting += len(taken)
            rows = rows[len(taken) :]
            if self._waiting == min(_TILE, self.height - self._written):
                self._flush()

    def read(self, rows: slice, columns: slice) -> UInt8:
        """Return a window of rows written before, uint8 (rows, columns); all of them must have been written."""
        from rasterio.windows import Window

        with reading_raster(_FAILED, Internal):
            return np.asarray(self._file.read(1, window=Window.from_slices(rows, columns)), np.uint8)

    def geotiff(self, names: Sequence[str], tags: Mapping[str, str]) -> bytes:
        """Return the whole map as a Cloud-Optimised GeoTIFF: deflated, with a palette, and overviews by majority.

        Args:
            names: of the classes, written as tags of the band.
            tags: what else the file says of itself.
        """
        import rasterio.shutil
        from rasterio.io import MemoryFile

        with reading_raster(_FAILED, Internal), MemoryFile(ext=".tif") as target:
            self._file.update_tags(**tags)
            self._file.update_tags(1, **{f"class_{value}": name for value, name in enumerate(names)})
            rasterio.shutil.copy(
                self._file,
                target.name,
                driver="COG",
                COMPRESS="DEFLATE",
                BLOCKSIZE=_TILE,
                OVERVIEW_RESAMPLING="MODE",
            )
            return bytes(target.getbuffer())

    def close(self) -> None:
        """Give back its memory."""
        with contained():
            self._file.close()
            self._memory.close()

    def _begin(self) -> Any:
        place = {"crs": self._grid.crs, "transform": self._grid.affine} if self._grid else {}
        file = self._memory.open(
            driver="GTiff",
            width=self.width,
            height=self.height,
            count=1,
            dtype="uint8",
            nodata=NOT_OBSERVED,
            tiled=True,
            blockxsize=_TILE,
            blockysize=_TILE,
            compress="deflate",
            zlevel=1,
            **place,
        )
        file.write_colormap(1, {value: tuple(colour) for value, colour in enumerate(self._palette.tolist())})
        return file

    def _flush(self) -> None:
        from rasterio.windows import Window

        with reading_raster(_FAILED, Internal):
            self._file.write(self._rows[: self._waiting], 1, window=Window(0, self._written, self.width, self._waiting))
        self._written += self._waiting
        self._waiting = 0
