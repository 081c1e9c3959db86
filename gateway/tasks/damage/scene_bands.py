"""The answer about a scene as it comes, band by band, and what is counted and found in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.footprints import Footprints
from gateway.media.geo.georeference import GeoGrid
from gateway.vision.buildings import SMALLEST_BUILDING
from gateway.vision.labels import class_counts
from gateway.vision.regions import Known, Region
from gateway.vision.streamed_regions import RegionStream

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

LEAST_OBSERVED = 0.01
"""Of the ground that was to be seen: with less an answer says nothing."""

# Cells along the longer side of a scene, at most.
_CELLS = 1024


@dataclass(frozen=True)
class Band:
    """Some rows of the answer, final.

    Attributes:
        top: the first of them in the scene.
        labels: uint8 (rows, width), class values, or `NOT_OBSERVED` where the ground is not seen.
        sureness: uint8 (rows, width), 255 times the probability of these values; 0 where the ground is not seen.
        seen: bool (rows, width), where both images show the ground; see `SceneReader`.
        known: in parts, what else is known of the pixels of buildings: the probability of each class, and where tiles
            were seen twice how far both views are apart; None: of single pixels nothing is.
        post: uint8 (rows, width, 3), RGB, the image after the disaster; None: no sink looks at it.
    """

    top: int
    labels: UInt8
    sureness: UInt8
    seen: Mask
    known: Sequence[Known] | None = None
    post: UInt8 | None = None

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.top + len(self.labels)

    def shown(self) -> UInt8:
        """Return the labels, background where the ground is not seen: that is neither a building nor between two."""
        return self.labels if self.seen.all() else self.labels * self.seen

    def split(self, rows: int) -> tuple[Band, Band | None]:
        """Return the band of the first `rows`, and that of the others; None: there are no others."""
        if rows >= len(self.labels):
            return self, None
        above, below = None, None
        if self.known is not None:
            place = rows * self.labels.shape[1]
            within = [(part, part.places < place) for part in self.known]
            above = [part.some(here) for part, here in within]
            below = [part.some(~here).moved(-place) for part, here in within]
        return self._part(slice(rows), self.top, above), self._part(slice(rows, None), self.top + rows, below)

    def _part(self, rows: slice, top: int, known: Sequence[Known] | None) -> Band:
        post = None if self.post is None else self.post[rows]
        return Band(top, self.labels[rows], self.sureness[rows], self.seen[rows], known, post)


class HeldBands:
    """Bands whose labels are not final yet; what else they have comes back with the labels that are."""

    def __init__(self) -> None:
        """Hold none."""
        self._bands: deque[Band] = deque()

    @property
    def empty(self) -> bool:
        """Whether no row is held."""
        return not self._bands

    def add(self, band: Band) -> None:
        """Take the next band."""
        self._bands.append(band)

    def final(self, labels: UInt8, sureness: UInt8) -> list[Band]:
        """Return the first of the rows held as bands, with labels and sureness that are final, uint8 (rows, width)."""
        bands = []
        while len(labels):
            first, rest = self._bands.popleft().split(len(labels))
            rows = len(first.labels)
            shown = labels[:rows] if first.seen.all() else np.where(first.seen, labels[:rows], NOT_OBSERVED)
            bands.append(replace(first, labels=shown, sureness=sureness[:rows]))
            labels, sureness = labels[rows:], sureness[rows:]
            if rest is not None:
                self._bands.appendleft(rest)
        return bands


class Sink(Protocol):
    """What takes the answer as it comes, in threads, one band after the other from top to bottom."""

    def write(self, band: Band) -> None:
        """Take the next band, and change nothing in it."""


class Tally:
    """Counts classes as bands come.

    Args:
        classes: number of label values.
        grid: where the pixels lie; None: nobody knows.
    """

    def __init__(self, classes: int, grid: GeoGrid | None) -> None:
        """Count from nothing."""
        self._grid = grid
        self._counts = np.zeros(classes, np.int64)
        self._areas = np.zeros(classes)

    @property
    def counts(self) -> tuple[int, ...]:
        """Pixels per class value."""
        return tuple(self._counts.tolist())

    @property
    def areas_m2(self) -> tuple[float, ...] | None:
        """Square metres per class value, the pixels of a band taken to be of one size."""
        return None if self._grid is None else tuple(self._areas.tolist())

    def write(self, band: Band) -> None:
        """Count a band; see `Sink`."""
        counts = class_counts(band.labels, len(self._counts))
        self._counts += counts
        if self._grid is not None:
            middle = (self._grid.width / 2, (band.top + band.stop) / 2)
            self._areas += counts * self._grid.pixel_areas([middle])


class Buildings:
    """Finds buildings as bands come."""

    def __init__(self) -> None:
        """Find nothing yet."""
        self.stream = RegionStream(SMALLEST_BUILDING)
        self._found: list[Region] = []

    def write(self, band: Band) -> None:
        """Take a band; see `Sink`."""
        self._found += self.stream.add(band.shown(), band.sureness, band.known)

    def all(self) -> tuple[Region, ...]:
        """Return all buildings in reading order; nothing may be written any more."""
        self._found += self.stream.finish()
        return tuple(
            sorted(self._found, key=lambda region: (region.box[1], region.box[0], region.box[3], region.box[2]))
        )


class Observation:
    """Counts what is observed in the cells of a coarse grid, so that districts can be told how much of them was.

    Args:
        height: of the scene, in pixels.
        width: of the scene, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        """Count from nothing."""
        self._size = height, width
        self.side = max(1, -(-max(height, width) // _CELLS))
        self.seen = np.zeros((-(-height // self.side), -(-width // self.side)), np.int64)

    def pixels(self) -> npt.NDArray[np.int64]:
        """Return how many pixels each cell has, int64 (rows, columns): at the right and lower border fewer."""
        down, across = (np.diff(np.append(np.arange(0, side, self.side), side)) for side in self._size)
        return np.asarray(down[:, np.newaxis] * across, np.int64)

    def write(self, band: Band) -> None:
        """Count a band; see `Sink`."""
        shown, side = (band.labels != NOT_OBSERVED).view(np.uint8), self.side
        first = band.top // side
        cells = self.seen[first : -(-(band.top + len(shown)) // side)]
        # Row by row of all cells, and then column by column: numpy adds whole rows several times as fast as pieces.
        strips = np.zeros((len(cells), shown.shape[1]), np.uint32)
        for offset in range(side):
            start = (offset - band.top) % side
            rows = shown[start::side]
            place = (band.top + start) // side - first
            strips[place : place + len(rows)] += rows
        for offset in range(side):
            columns = strips[:, offset::side]
            cells[:, : columns.shape[1]] += columns


@dataclass(frozen=True, eq=False)
class GradedFootprints:
    """What became of footprints, in their order.

    Attributes:
        footprints: themselves.
        values: uint8 (n,), label values; 0: not assessed.
        scores: float32 (n, classes − 1), probability of each class above background, 0 where not assessed.
        pixels: int64 (n,), those that were seen.
        observed: float64 (n,), of each footprint the share that was seen, 0–1.
        disagreement: float32 (n,), how far both views of each are apart, 0–1; None: there was one.
    """

    footprints: Footprints
    values: UInt8
    scores: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.int64]
    observed: npt.NDArray[np.float64]
    disagreement: npt.NDArray[np.float32] | None = None
