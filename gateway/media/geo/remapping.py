"""Warping by OpenCV, several times as fast as GDAL's: exact coordinates at nodes, and between them interpolated ones.

How far these are off is measured in the middle between all nodes, where it is most; who asks for more than there is,
as about a pole, is told so and warps by GDAL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import ceil, floor
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.geo.georeference import GeoGrid, applied, transformed
from gateway.media.geo.geotiff import GeoTiff
from gateway.media.geo.parts import Part
from gateway.media.geo.rasters import Raster

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

STEP = 128
"""Pixels from node to node."""

CLOSE = 0.02
"""Pixels by which interpolated coordinates may be off; OpenCV rounds them to 1/32 besides."""

# Columns remapped at once: what lies under them stays small, however a raster is turned to the other.
_COLUMNS = 1024
# Of single precision: where shares sum to one, and where a place is on the border.
_ALL, _SLACK = 1 - 1e-4, 1e-3
# Pixels read at once: what lies under a window stays small, however fine the raster is.
_AT_ONCE = 1 << 22
_HALF = 0.5
# Pixels by which places may be off those of a matrix that stands for them: less than OpenCV rounds them by.
_STRAIGHT = 1 / 256
# How often what places are off counts, and pixels of the target around each that GDAL may mix in: two and what its own
# interpolation is off, and ten that it adds where it is unsure of some.
_BENT, _MIXED = 4, 16


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Where the pixels of one raster lie in another.

    Attributes:
        nodes: float64 (2, rows, columns): x and y in the other of the centre of every `STEP`-th pixel, and of one
            behind the last; a centre is at whole numbers.
        block: (across, down): of how many pixels of the other the mean is taken first. Nodes are in such blocks.
    """

    nodes: Float64
    block: tuple[int, int] = (1, 1)

    @cached_property
    def affine(self) -> Float64 | None:
        """The matrix, float64 (2, 3), that does the same for all pixels, as within one reference system; None: none."""
        rows, columns = self.nodes.shape[1:]
        origin = self.nodes[:, 0, 0]
        across = (self.nodes[:, 0, -1] - origin) / (columns - 1)
        down = (self.nodes[:, -1, 0] - origin) / (rows - 1)
        y, x = np.mgrid[:rows, :columns]
        places = origin[:, None, None] + across[:, None, None] * x + down[:, None, None] * y
        if np.abs(places - self.nodes).max() > _STRAIGHT:
            return None
        return np.stack([across / STEP, down / STEP, origin], axis=1)

    def of(self, rows: slice, columns: slice) -> tuple[Float32, tuple[int, int]]:
        """Return coordinates of a window's pixels, float32 (2, rows, columns), less an origin (x, y), and that."""
        first_row, first_column = rows.start // STEP, columns.start // STEP
        near = self.nodes[:, first_row : (rows.stop - 1) // STEP + 2, first_column : (columns.stop - 1) // STEP + 2]
        # Single precision has room for some thousand pixels and their fractions, not for all of a large scene.
        x, y = np.floor(near.min(axis=(1, 2))).tolist()
        local = (near - np.array([x, y])[:, None, None]).astype(np.float32)
        along = np.arange(columns.start, columns.stop) / STEP - first_column
        left = np.minimum(along.astype(int), near.shape[2] - 2)
        share = (along - left).astype(np.float32)
        lines = local[:, :, left] + share * (local[:, :, left + 1] - local[:, :, left])
        places = np.empty((2, rows.stop - rows.start, columns.stop - columns.start), np.float32)
        for number, (line, next_line) in enumerate(pairwise(np.moveaxis(lines, 1, 0)), first_row):
            start, stop = max(rows.start, number * STEP), min(rows.stop, (number + 1) * STEP)
            part = places[:, start - rows.start : stop - rows.start]
            down = (np.arange(start, stop, dtype=np.float32) / STEP - number)[:, None]
            np.multiply(down, (next_line - line)[:, None], out=part)
            part += line[:, None]
        return places, (int(x), int(y))


class RemappedRaster:
    """A raster on the grid of another, remapped window by window as it is read; see `Raster`."""

    def __init__(self, source: GeoTiff, grid: GeoGrid, coordinates: Coordinates) -> None:
        """Keep what is remapped, which must stay open; `grid` is of the result."""
        self.info = replace(source.info, width=grid.width, height=grid.height, grid=grid)
        self._source: Raster = source if coordinates.block == (1, 1) else AveragedRaster(source, coordinates.block)
        across, down = coordinates.block
        self._size = source.info.width / across, source.info.height / down
        self._coordinates = coordinates

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`. Observed is what all pixels around were that count for it."""
        shape = rows.stop - rows.start, columns.stop - columns.start
        pixels, observed = np.empty((*shape, 3), np.uint8), np.ones(shape, np.bool_)
        for start in range(columns.start, columns.stop, _COLUMNS):
            stop = min(start + _COLUMNS, columns.stop)
            part = np.s_[:, start - columns.start : stop - columns.start]
            self._read(rows, slice(start, stop), pixels[part], observed[part])
        return pixels, observed

    def close(self) -> None:
        """Do nothing; the raster that is remapped stays open."""

    def _read(self, rows: slice, columns: slice, pixels: UInt8, observed: Bool) -> None:
        """Fill the `pixels` of a window, and take from those `observed`, all at first, what was not."""
        if self._coordinates.affine is not None:
            self._read_straight(self._coordinates.affine, rows, columns, pixels, observed)
            return
        places, (left, top) = self._coordinates.of(rows, columns)
        source = self._source.info
        across, down = _under(places[0], left, source.width), _under(places[1], top, source.height)
        if across.start >= across.stop or down.start >= down.stop:
            observed[...] = False
        else:
            there, shown = self._source.read(down, across)
            places -= np.array([[[across.start - left]], [[down.start - top]]], np.float32)
            pixels[...] = _remapped(there, places)
            ends = (places[0], across, source.width, self._size[0]), (places[1], down, source.height, self._size[1])
            for side, under, pixels_along, length in ends:
                if under.start == 0 or under.stop == pixels_along:
                    observed &= (side >= -0.5 - under.start - _SLACK) & (side <= length - 0.5 - under.start + _SLACK)
            if not shown.all():
                observed &= _remapped(shown.astype(np.float32), places) >= _ALL
        if not observed.all():
            pixels[~observed] = 0

    def _read_straight(self, affine: Float64, rows: slice, columns: slice, pixels: UInt8, observed: Bool) -> None:
        """Do what `_read` does where one matrix leads from all pixels to where they lie: in half the time."""
        height, width = observed.shape
        matrix = affine.copy()
        matrix[:, 2] += affine[:, :2] @ (columns.start, rows.start)
        corners = np.array([(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)])
        ends = corners @ matrix[:, :2].T + matrix[:, 2]
        source = self._source.info
        across, down = _from(ends[:, 0], source.width), _from(ends[:, 1], source.height)
        if across.start >= across.stop or down.start >= down.stop:
            observed[...] = False
        else:
            there, shown = self._source.read(down, across)
            local = matrix - np.array([(0, 0, across.start), (0, 0, down.start)])
            pixels[...] = _straightened(there, local, (width, height))
            for (a, b, c), along, length in zip(matrix.tolist(), ends.T, self._size, strict=True):
                if along.min() < -_HALF or along.max() > length - _HALF:
                    # Of what is not turned one row, or one column, says it all.
                    x = a * np.arange(width if a else 1)
                    side = x + b * np.arange(height if b else 1)[:, None] + c
                    observed &= (side >= -_HALF - _SLACK) & (side <= length - _HALF + _SLACK)
            if not shown.all():
                observed &= _straightened(shown.astype(np.float32), local, (width, height)) >= _ALL
        if not observed.all():
            pixels[~observed] = 0


class AveragedRaster:
    """A raster shrunk by whole numbers, window by window as it is read; see `Raster`.

    A block shows something where at least half of its pixels do, and is their mean.
    """

    def __init__(self, source: Raster, block: tuple[int, int]) -> None:
        """Keep what is averaged, which must stay open; `block` is (across, down) in its pixels."""
        self._source = source
        self._across, self._down = block
        info = source.info
        self.info = replace(info, width=-(-info.width // block[0]), height=-(-info.height // block[1]), grid=None)

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window; see `Raster.read`."""
        shape = rows.stop - rows.start, columns.stop - columns.start
        pixels, observed = np.empty((*shape, 3), np.uint8), np.empty(shape, np.bool_)
        high = max(1, min(_AT_ONCE // (self._across * self._down * shape[1]), shape[0]))
        wide = max(1, min(_AT_ONCE // (self._across * self._down * high), shape[1]))
        for top in range(0, shape[0], high):
            for left in range(0, shape[1], wide):
                part = slice(top, min(top + high, shape[0])), slice(left, min(left + wide, shape[1]))
                at = (
                    slice(start + side.start, start + side.stop)
                    for start, side in zip((rows.start, columns.start), part, strict=True)
                )
                pixels[part], observed[part] = self._mean(*at)
        return pixels, observed

    def close(self) -> None:
        """Do nothing; the raster that is averaged stays open."""

    def _mean(self, rows: slice, columns: slice) -> tuple[UInt8, Bool]:
        """Return a window small enough to be read whole."""
        info, across, down = self._source.info, self._across, self._down
        under = slice(rows.start * down, min(rows.stop * down, info.height))
        beside = slice(columns.start * across, min(columns.stop * across, info.width))
        pixels, observed = self._source.read(under, beside)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        lacking = height * down - len(pixels), width * across - pixels.shape[1]
        if not any(lacking) and observed.all():
            return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8), np.ones(
                (height, width), np.bool_
            )
        padding = ((0, lacking[0]), (0, lacking[1]))
        shown = np.pad(observed, padding).astype(np.float32)
        sums = np.pad(pixels, (*padding, (0, 0))).astype(np.float32)
        share, mean = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in (shown, sums))
        seen = np.asarray(share >= _HALF)
        shown_mean = np.rint(np.asarray(mean) / np.maximum(share, 1e-6)[..., None]).clip(0, 255)
        means: UInt8 = shown_mean.astype(np.uint8)
        means[~seen] = 0
        return means, seen


def coordinates(source: GeoGrid, target: GeoGrid, shift: tuple[float, float]) -> Coordinates | None:
    """Return where the pixels of `target` lie in `source`; None where GDAL is to warp.

    That is where interpolated coordinates would be more than `CLOSE` off. Where the pixels of `source` are the smaller
    ones, as many of them are averaged as lie on the way from one pixel of `target` to the next.

    Args:
        source: what is warped.
        target: what it is warped to.
        shift: (dx, dy), pixels of `target`, added to where its pixels lie.

    Raises:
        GeometryUnsuitable: there is no way from one coordinate reference system to the other.
    """
    if (places := _nodes(source, target, shift)) is None:
        return None
    nodes, between = places
    steps = [np.abs(np.diff(nodes, axis=axis)).max(axis=(1, 2)) / STEP for axis in (1, 2)]
    across, down = (max(1, int(step + 0.5)) for step in np.hypot(*steps).tolist())
    nodes, between = (_in_blocks(places, (across, down)) for places in (nodes, between))
    return Coordinates(nodes, (across, down)) if _bent(nodes, between) <= CLOSE else None


def source_part(source: GeoGrid, target: GeoGrid, shift: tuple[float, float]) -> Part | None:
    """Return rows and columns of `source` that hold all that `target` is made from; None where that cannot be told.

    Between nodes places are off those of a straight line by what is measured in the middle, where it is most. That
    counts several times over, and on all sides as many pixels as may be mixed into one; see `coordinates`.
    """
    if (places := _nodes(source, target, shift)) is None:
        return None
    nodes, between = places
    steps = max(np.abs(np.diff(nodes, axis=axis)).max() for axis in (1, 2)) / STEP
    beside = _BENT * _bent(nodes, between) + _MIXED * (1 + steps)
    rows, columns = (
        slice(max(0, floor(along.min() - beside)), min(side, ceil(along.max() + beside) + 1))
        for along, side in ((nodes[1], source.height), (nodes[0], source.width))
    )
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _nodes(source: GeoGrid, target: GeoGrid, shift: tuple[float, float]) -> tuple[Float64, Float64] | None:
    """Return where all nodes lie in `source`, and what is in the middle between them; None where some lie nowhere."""
    y, x = (STEP * np.arange((side - 1) // STEP + 2, dtype=np.float64) for side in (target.height, target.width))
    nodes = _places(source, target, shift, x, y)
    between = _places(source, target, shift, x[:-1] + STEP / 2, y[:-1] + STEP / 2)
    return (nodes, between) if np.isfinite(nodes).all() and np.isfinite(between).all() else None


def _bent(nodes: Float64, between: Float64) -> float:
    """Return by how much what is in the middle between nodes is off where it would be interpolated, at most."""
    corners = nodes[:, :-1, :-1], nodes[:, 1:, :-1], nodes[:, :-1, 1:], nodes[:, 1:, 1:]
    return float(np.linalg.norm(sum(corners[1:], corners[0]) / 4 - between, axis=0).max())


def _in_blocks(places: Float64, block: tuple[int, int]) -> Float64:
    """Return places, (2, rows, columns), counted in blocks of pixels; centres are at whole numbers."""
    counted: Float64 = (places + 0.5) / np.array(block)[:, None, None] - 0.5
    return counted


def _places(source: GeoGrid, target: GeoGrid, shift: tuple[float, float], x: Float64, y: Float64) -> Float64:
    """Return where the pixels in columns `x` and rows `y` of `target` lie in `source`, float64 (2, rows, columns)."""
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) + 0.5 + shift
    points = applied(target.affine, grid)
    if source.crs != target.crs:
        points = transformed(target.crs, source.crs, points)
    return (source.pixels_at(points) - 0.5).T.reshape(2, len(y), len(x))


def _remapped(image: npt.NDArray[Any], places: Float32) -> npt.NDArray[Any]:
    """Return an image at places, float32 (2, rows, columns), bilinearly; beyond its border as on it."""
    x, y = places
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _straightened(image: npt.NDArray[Any], matrix: Float64, size: tuple[int, int]) -> npt.NDArray[Any]:
    """Return an image as `_remapped` does, where a matrix, float64 (2, 3), leads to; `size` is (across, down).

    Where it only moves the image that takes half the time, and where by whole pixels nearly none.
    """
    width, height = size
    if np.abs((matrix[:, :2] - np.eye(2)) @ size).max() <= _STRAIGHT:
        x, y = matrix[:, 2].tolist()
        left, top = round(x), round(y)
        inside = 0 <= left <= image.shape[1] - width and 0 <= top <= image.shape[0] - height
        if inside and max(abs(x - left), abs(y - top)) <= _STRAIGHT:
            return image[top : top + height, left : left + width]
        return np.asarray(cv2.getRectSubPix(image, size, (x + (width - 1) / 2, y + (height - 1) / 2)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _from(ends: Float64, length: int) -> slice:
    """Return which of `length` source pixels along one side lie between places, with those around that count too."""
    start, stop = int(np.floor(ends.min())) - 1, int(np.ceil(ends.max())) + 2
    return slice(min(max(start, 0), length), max(min(stop, length), 0))


def _under(places: Float32, origin: int, length: int) -> slice:
    """Return which of `length` source pixels along one side a window is made from; its extremes are at its border."""
    return _from(
        np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]]).astype(np.float64) + origin, length
    )
