"""Bringing the post-disaster raster to the pixel grid of the pre-disaster one."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from gateway.errors import GeographyMissing, GeometryUnsuitable
from gateway.media.gdal import contained, reading_raster
from gateway.media.geo.black_border import mask_file
from gateway.media.geo.datasets import DatasetPool
from gateway.media.geo.georeference import GeoGrid, applied, transformed
from gateway.media.geo.geotiff import GeoTiff
from gateway.media.geo.parts import Part, part_of
from gateway.media.geo.rasters import Raster, RasterInfo
from gateway.media.geo.remapping import RemappedRaster, coordinates, source_part
from gateway.media.geo.tiff_header import DAMAGED

if TYPE_CHECKING:
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader, MemoryFile

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

_DECLARED = re.compile(
    r"<NoDataValue>[^<]*</NoDataValue>|<ColorInterp>Alpha</ColorInterp>|<MaskBand>.*?</MaskBand>", re.DOTALL
)
_APART = "There is no way from the coordinate reference system of one image to that of the other."
_CERTAIN = 255
# Pixels by which places may be off that GDAL interpolates within a row of a block: with its eighth of one the same
# ground looks another way in another block, and this takes no longer.
_OFF = 0.005


@dataclass(frozen=True)
class BorrowedRaster:
    """A raster as it is, that somebody else closes; see `Raster`."""

    raster: Raster

    @property
    def info(self) -> RasterInfo:
        """What is known of it."""
        return self.raster.info

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`."""
        return self.raster.read(rows, columns)

    def close(self) -> None:
        """Do nothing; the raster stays open."""


class AlignedRaster:
    """A raster on the grid of another, warped window by window as it is read; see `Raster`."""

    def __init__(
        self, post: GeoTiff, grid: GeoGrid, pool: DatasetPool, shown: DatasetPool | None, closing: ExitStack
    ) -> None:
        """Keep what `warped` made."""
        said = post.info
        self.info = RasterInfo(grid.width, grid.height, said.bands, said.dtype, grid, said.notices)
        self._samples = post.samples
        self._pool = pool
        self._shown = shown
        self._closing = closing

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`. What lies outside of the warped raster was not observed."""
        from rasterio.windows import Window

        window = Window.from_slices(rows, columns)
        with reading_raster(DAMAGED), self._pool.lend() as dataset:
            pixels = self._samples.coloured(self._samples.raw(dataset, window))
            # The band that warping adds.
            observed = dataset.read(dataset.count, window=window) > 0
        if self._shown is not None:
            with reading_raster(_APART, GeometryUnsuitable), self._shown.lend() as mask:
                # Where anything that shows nothing was mixed in, nothing was observed.
                observed &= mask.read(1, window=window) == _CERTAIN
        pixels[~observed] = 0
        return pixels, observed

    def close(self) -> None:
        """Give back what warping holds; the raster that is warped stays open."""
        with contained():
            self._closing.close()


def aligned(post: GeoTiff, grid: GeoGrid, shift: tuple[float, float] = (0.0, 0.0)) -> Raster:
    """Return `post` on the pre-disaster `grid`, bilinearly, averaged where its pixels are the smaller ones.

    Where it lies on that grid already, its pixels are read as they are, five times as fast.

    Args:
        post: has geography. It must stay open as long as what is returned.
        grid: of the pre-disaster image; may be rotated.
        shift: (dx, dy), pixels of `grid`: what `grid` has at (x, y), `post` has at (x + dx, y + dy) by its own account.
            ``cv2.phaseCorrelate`` measures it like that, of the two as they are.

    Raises:
        GeographyMissing: `post` has none.
        GeometryUnsuitable: there is no way from one coordinate reference system to the other.
    """
    if post.info.grid is None:
        raise GeographyMissing("The image does not say where it lies on Earth.")
    if post.info.grid == grid and shift == (0.0, 0.0):
        return BorrowedRaster(post)
    if found := coordinates(post.info.grid, grid, shift):
        return RemappedRaster(post, grid, found)
    return warped(post, post.info.grid, grid, shift)


def warped(post: GeoTiff, source: GeoGrid, grid: GeoGrid, shift: tuple[float, float]) -> Raster:
    """Return `post`, which lies on `source`, on another grid by GDAL's own warping; see `aligned`.

    Of a file elsewhere GDAL is given the part that `grid` is made from, where that can be told: it cannot read beyond,
    and were it too small, something would be missing at its border, where it shows nothing then, but nothing wrong.
    """
    with reading_raster(_APART, GeometryUnsuitable), ExitStack() as closing:
        frame = Frame(source, grid, shift)
        nearest = post.samples.bands.colours == "palette"
        part = source_part(source, grid, shift) if post.elsewhere else None

        def opened(stack: ExitStack) -> Any:
            return frame.warped(_plain(post.dataset(stack, part), source, part, stack), stack, nearest=nearest)

        pool = DatasetPool(opened)
        closing.callback(pool.close)
        shown = None
        if not post.whole:
            memory: MemoryFile = mask_file(lambda rows, columns: post.read(rows, columns)[1], source, post.part or part)
            closing.callback(memory.close)
            shown = DatasetPool(lambda stack: frame.warped_mask(memory, stack))
            closing.callback(shown.close)
        return AlignedRaster(post, grid, pool, shown, closing.pop_all())


def _plain(source: DatasetReader, grid: GeoGrid, part: Part | None, stack: ExitStack) -> DatasetReader:
    """Return a dataset of the same samples that declares neither mask, alpha nor nodata, as warping obeys them.

    Of a dataset on `grid` it has a part, and nothing outside of that is read; None: all of it.
    """
    import rasterio
    import rasterio.shutil
    from rasterio.io import MemoryFile

    with MemoryFile(ext=".vrt") as described:
        rasterio.shutil.copy(source, described.name, driver="VRT")
        text = _DECLARED.sub("", bytes(described.getbuffer()).decode())
    if part is not None:
        text = _of_part(text, part_of(grid, part), part)
    memory = MemoryFile(text.encode(), ext=".vrt")
    stack.callback(memory.close)
    dataset = rasterio.open(memory.name, driver="VRT")
    stack.callback(dataset.close)
    return dataset


def _of_part(described: str, grid: GeoGrid, part: Part) -> str:
    """Return what describes a dataset as a virtual one, of a part of it, which lies on `grid`, in its place."""
    rows, columns = part
    size = f'xSize="{grid.width}" ySize="{grid.height}"'
    for pattern, own in (
        (r'rasterXSize="\d+" rasterYSize="\d+"', f'rasterXSize="{grid.width}" rasterYSize="{grid.height}"'),
        (r"<GeoTransform>[^<]*</GeoTransform>", f"<GeoTransform>{str(grid.affine.to_gdal())[1:-1]}</GeoTransform>"),
        (r"<SrcRect [^>]*/>", f'<SrcRect xOff="{columns.start}" yOff="{rows.start}" {size} />'),
        (r"<DstRect [^>]*/>", f'<DstRect xOff="0" yOff="0" {size} />'),
    ):
        described = re.sub(pattern, own, described)
    return described


class Frame:
    """What rasters are warped from and to.

    Args:
        source: where the raster lies.
        target: the grid that it is warped to.
        shift: (dx, dy), as of `aligned`.
    """

    def __init__(self, source: GeoGrid, target: GeoGrid, shift: tuple[float, float] = (0.0, 0.0)) -> None:
        """Decide where degrees are counted from."""
        crs, affine = source.crs, target.affine @ Affine.translation(*shift)
        if crs.is_geographic:
            here, there = _longitude(target), _longitude(source)
            if crs == target.crs:
                # Nothing would be computed for two of a kind: degrees are counted from where the source counts them.
                affine = Affine.translation(360 * round((there - here) / 360), 0) @ affine
            elif _passes_antimeridian(source):
                crs = _counted_about(crs, there)
        self._place = {
            "src_crs": crs,
            "crs": target.crs,
            "transform": affine,
            "width": target.width,
            "height": target.height,
            **_scales(source, target, shift),
        }

    def warped(
        self,
        source: DatasetReader,
        stack: ExitStack,
        *,
        nearest: bool,
        nodata: float | None = None,
        dtype: str | None = None,
    ) -> Any:
        """Return a dataset that warps `source`, with an alpha band behind its own that says where it has something.

        Samples that are `nodata` are none; it computes in `dtype`, or in that of the samples.
        """
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT

        resampling = Resampling.nearest if nearest else Resampling.bilinear
        dataset = WarpedVRT(
            source, resampling=resampling, tolerance=_OFF, add_alpha=True, src_nodata=nodata, dtype=dtype, **self._place
        )
        stack.callback(dataset.close)
        return dataset

    def warped_mask(self, memory: MemoryFile, stack: ExitStack) -> Any:
        """Return a dataset that warps a mask of 0 and 255, with 0 around it."""
        import rasterio
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT

        source = rasterio.open(memory.name, driver="GTiff")
        stack.callback(source.close)
        dataset = WarpedVRT(source, resampling=Resampling.bilinear, tolerance=_OFF, **self._place)
        stack.callback(dataset.close)
        return dataset


def _scales(source: GeoGrid, target: GeoGrid, shift: tuple[float, float]) -> dict[str, float]:
    """Return how many pixels of a target come to one of the source, along its rows and columns, as GDAL names them.

    Left to itself GDAL guesses that from each block that it warps, and blurs what it takes for fine in some.
    """
    beside = np.array([target.width, target.height]) / 2 + shift + np.array([(0, 0), (1, 0), (0, 1)])
    pixels = source.pixels_at(transformed(target.crs, source.crs, applied(target.affine, beside)))
    along = np.linalg.norm(pixels[1:] - pixels[0], axis=0)
    if not (np.isfinite(along).all() and along.all()):
        return {}
    across, down = (1 / along).tolist()
    return {"XSCALE": across, "YSCALE": down}


def _longitude(grid: GeoGrid) -> float:
    """Return the longitude of the middle as the grid counts it, which may be from −360 to 360."""
    return float((grid.affine @ (grid.width / 2, grid.height / 2))[0])


def _passes_antimeridian(grid: GeoGrid) -> bool:
    corners = ((0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height))
    return any(abs((grid.affine @ corner)[0]) > 180 for corner in corners)


def _counted_about(crs: CRS, longitude: float) -> CRS:
    """Return a geographic `crs` whose longitudes have their seam on the other side of the Earth from `longitude`.

    Of its datum only what PROJ's short form holds is kept: some metres for a few old ones.
    """
    from rasterio.crs import CRS

    return CRS.from_string(f"{crs.to_proj4()} +lon_wrap={longitude}")
