"""Maps of one byte a pixel as Cloud-Optimised GeoTIFF, held compressed while they are made.

Of a label map value 0 is background, 255 stands for "not observed" and is the file's nodata value. Of a map of
confidence 0 is nodata, and 255 certainty. Nothing is written to disk: the map
lies in GDAL's memory file system as compressed tiles, some hundredth of its pixels for scenes of buildings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from gateway.errors import Internal
from gateway.media.gdal import reading_raster
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.layers import TILE, LayerFile
from gateway.vision.labels import averaged

UInt8 = npt.NDArray[np.uint8]

NOT_OBSERVED = 255
"""Label value of pixels where one of the images shows nothing."""

NO_CONFIDENCE = 0
"""What a map of confidence has there."""

# That compress the answer: at the end of a request, when lanes have nothing more of it to do.
_THREADS = 2
_FAILED = "The label map could not be written."


class CogFile:
    """A map that is written from top to bottom, and then read by windows or made a GeoTIFF of.

    For one thread at a time. Use it as a context manager, which gives back its memory at the end.
    """

    def __init__(self, width: int, height: int, palette: UInt8 | None, grid: GeoGrid | None) -> None:
        """Begin an empty map.

        Args:
            width: pixels across.
            height: pixels down.
            palette: uint8, (classes, 3), RGB, at most 255 classes; None: a map of confidence.
            grid: where its pixels lie; None: nobody knows.
        """
        self.width, self.height = width, height
        place = {"crs": grid.crs, "transform": grid.affine} if grid else {}
        with reading_raster(_FAILED, Internal):
            if palette is None:
                self._layer = LayerFile(width, height, averaged, nodata=NO_CONFIDENCE, **place)
            else:
                self._layer = LayerFile(width, height, nodata=NOT_OBSERVED, **place)
                self._layer.colour(palette)

    def __enter__(self) -> Self:
        """Return the map itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give back its memory."""
        self.close()

    def write(self, rows: UInt8) -> None:
        """Take the next rows, uint8 (n, width): class values or `NOT_OBSERVED`; or confidence, or `NO_CONFIDENCE`."""
        with reading_raster(_FAILED, Internal):
            self._layer.write(rows)

    def read(self, rows: slice, columns: slice) -> UInt8:
        """Return a window of rows written before, uint8 (rows, columns); all of them must have been written."""
        with reading_raster(_FAILED, Internal):
            return self._layer.read(rows, columns)

    def geotiff(self, names: Sequence[str], tags: Mapping[str, str]) -> bytes:
        """Return the whole map as a Cloud-Optimised GeoTIFF: deflated, with overviews: by majority, or by means.

        Args:
            names: of the classes, written as tags of the band; of confidence none.
            tags: what else the file says of itself.
        """
        import rasterio
        import rasterio.shutil
        from rasterio.io import MemoryFile

        with (
            reading_raster(_FAILED, Internal),
            MemoryFile(self._layer.described(), ext=".vrt") as described,
            rasterio.open(described.name, "r+", driver="VRT") as whole,
            MemoryFile(ext=".tif") as target,
        ):
            whole.update_tags(**tags)
            whole.update_tags(1, **{f"class_{value}": name for value, name in enumerate(names)})
            rasterio.shutil.copy(
                whole, target.name, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=TILE, NUM_THREADS=_THREADS
            )
            return bytes(target.getbuffer())

    def close(self) -> None:
        """Give back its memory."""
        self._layer.close()
