"""GeoTIFFs drawn by code, and Debian's GDAL to look at what is written."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from gateway.media.gdal import contained
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.geotiff import GeoTiff, open_geotiff
from gateway.media.pictures.images import ImageLimits

UInt8 = NDArray[np.uint8]

LIMITS = ImageLimits(max_pixels=1 << 26, max_side=1 << 14, min_side=16)
UTM = "EPSG:32615"
"""Zone 15 north, where Joplin lies."""


def grid(width: int, height: int, crs: str = UTM, affine: Affine | None = None) -> GeoGrid:
    """Return a grid of half a metre in Joplin, or any other."""
    return GeoGrid(CRS.from_string(crs), affine or Affine(0.5, 0, 366_642.5, 0, -0.5, 4_104_511), width, height)


def write(pixels: NDArray[Any], place: GeoGrid | None = None, **profile: Any) -> bytes:
    """Return (height, width, bands) as a GeoTIFF file, of samples of a `kind` of GDAL's that numpy may not have."""
    height, width, bands = pixels.shape
    placed = {"crs": place.crs, "transform": place.affine} if place else {}
    colours = profile.pop("colorinterp", None)
    mask, colormap, kind = profile.pop("mask", None), profile.pop("colormap", None), profile.pop("kind", pixels.dtype)
    descriptions = profile.pop("descriptions", ())
    with contained(), MemoryFile(ext=".tif") as memory:
        with memory.open(
            driver="GTiff", width=width, height=height, count=bands, dtype=kind, **placed, **profile
        ) as file:
            if colours is not None:
                file.colorinterp = colours
            if colormap is not None:
                file.write_colormap(1, colormap)
            file.write(np.moveaxis(pixels, 2, 0))
            for number, text in enumerate(descriptions, 1):
                file.set_band_description(number, text)
            if mask is not None:
                file.write_mask(mask)
        return bytes(memory.getbuffer())


def opened(data: bytes, limits: ImageLimits = LIMITS) -> GeoTiff:
    """Open a file as the gateway does."""
    return open_geotiff(data, limits)


def whole(raster: Any) -> tuple[UInt8, NDArray[np.bool_]]:
    """Return all of a raster and where it was observed."""
    pixels, observed = raster.read(slice(0, raster.info.height), slice(0, raster.info.width))
    return pixels, observed


def smooth(height: int, width: int) -> UInt8:
    """Return a picture that has another colour everywhere, never black, and that lossy compression hardly changes."""
    y, x = np.mgrid[:height, :width]
    across, down = x / width, y / height
    picture: UInt8 = np.stack([40 + 200 * across, 40 + 200 * down, 40 + 100 * (across + down)], -1).astype(np.uint8)
    return picture


@cache
def ground(place: GeoGrid) -> UInt8:
    """Return a picture of one and the same ground, waves of some 25 m, as it looks on a grid; not to be changed."""
    y, x = np.mgrid[: place.height, : place.width] + 0.5
    longitude, latitude = place.to_lon_lat(np.stack([x.ravel(), y.ravel()], 1)).T
    east = (longitude % 360 - 180) * 24_000
    north = latitude * 27_000
    waves = np.stack([np.sin(east), np.sin(north), np.sin(0.7 * east + 0.6 * north)], -1)
    picture: UInt8 = np.rint(127 + 100 * waves).astype(np.uint8).reshape(place.height, place.width, 3)
    return picture


def gdal(tool: str, *arguments: str | Path) -> str:
    """Return what one of GDAL's tools prints; skips where it is missing, fails where it fails or warns."""
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}: apt-get install gdal-bin")
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
