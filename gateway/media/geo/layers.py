"""A label map in GDAL's memory as compressed tiles, and those of half its size, and half of that, made on the way.

GDAL could make the smaller ones at the end, by majority too, but takes ten times as long and would keep one core at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.media.gdal import contained
from gateway.vision.labels import halved

if TYPE_CHECKING:
    from rasterio.io import MemoryFile

UInt8 = npt.NDArray[np.uint8]
Half = Callable[[UInt8], UInt8]

TILE = 512
"""Side of the tiles; no map is halved that is no larger."""


_END_OF_BAND = "</VRTRasterBand>"
_OVERVIEW = "<Overview><SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></Overview>"


class LayerFile:
    """A map that is written from top to bottom and read by windows. Call it inside `contained`, a thread at a time.

    Attributes:
        smaller: the map of half the size; None where this one is no larger than a tile.
    """

    def __init__(self, width: int, height: int, half: Half = halved, **profile: Any) -> None:
        """Begin an empty map.

        Args:
            width: pixels across.
            height: pixels down.
            half: returns some rows in half their size.
            profile: what else rasterio is to know of the file.
        """
        from rasterio.io import MemoryFile

        self._size, self._half = (width, height), half
        self._rows = np.empty((min(TILE, height), width), np.uint8)
        self._waiting = self._written = 0
        self._memory: MemoryFile = MemoryFile(ext=".tif")
        self._file: Any = self._memory.open(
            driver="GTiff",
            width=width,
            height=height,
            count=1,
            dtype="uint8",
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="zstd",
            zstd_level=1,
            **profile,
        )
        self.smaller = LayerFile(-(-width // 2), -(-height // 2), half) if max(width, height) > TILE else None

    @property
    def name(self) -> str:
        """What GDAL finds it by; once all rows are written it finds all of them."""
        return str(self._memory.name)

    def write(self, rows: UInt8) -> None:
        """Take the next rows, uint8 (n, width)."""
        while len(rows):
            taken = rows[: len(self._rows) - self._waiting]
            self._rows[self._waiting : self._waiting + len(taken)] = taken
            self._waiting += len(taken)
            rows = rows[len(taken) :]
            if self._waiting == len(self._rows):
                self._flush()

    def read(self, rows: slice, columns: slice) -> UInt8:
        """Return a window of rows written before, uint8 (rows, columns)."""
        from rasterio.windows import Window

        return np.asarray(self._file.read(1, window=Window.from_slices(rows, columns)), np.uint8)

    def colour(self, palette: UInt8) -> None:
        """Give values their colours, uint8 (values, 3), RGB; to be called before anything is written."""
        self._file.write_colormap(1, {value: tuple(colour) for value, colour in enumerate(palette.tolist())})

    def described(self) -> bytes:
        """Return a file of GDAL's virtual format, of this map and of the smaller ones as its overviews."""
        import rasterio.shutil
        from rasterio.io import MemoryFile

        with MemoryFile(ext=".vrt") as plain:
            rasterio.shutil.copy(self._file, plain.name, driver="VRT")
            before, after = bytes(plain.getbuffer()).decode().split(_END_OF_BAND)
        overviews = [_OVERVIEW.format(layer.name) for layer in self._halves()]
        return "".join([before, *overviews, _END_OF_BAND, after]).encode()

    def close(self) -> None:
        """Give back its memory."""
        with contained():
            self._file.close()
            self._memory.close()
        if self.smaller is not None:
            self.smaller.close()

    def _halves(self) -> Iterator[LayerFile]:
        """Yield the smaller maps from the largest to the smallest."""
        if self.smaller is not None:
            yield self.smaller
            yield from self.smaller._halves()

    def _flush(self) -> None:
        from rasterio.windows import Window

        width, height = self._size
        self._file.write(self._rows, 1, window=Window(0, self._written, width, len(self._rows)))
        self._written += len(self._rows)
        if self.smaller is not None:
            self.smaller.write(self._half(self._rows))
        self._waiting = 0
        self._rows = self._rows[: height - self._written]
        if self._written == height:
            # What others find by its name is what was written to the end.
            self._file.close()
            self._file = self._memory.open()
